"""Grey wider than a byte: the range is found from the values, never guessed by one of them."""

import numpy as np
import pytest
from raw_files import BLACK_IS_ZERO, FLOAT, SIGNED, UNSIGNED, WHITE_IS_ZERO, write_png, write_tiff

from pipeline.embed.decode import load
from pipeline.embed.reasons import UNSUPPORTED, UnreadableImageError

GREYS = np.linspace(0, 255, 40 * 60).reshape(40, 60, 1)


def grey_of(content: bytes) -> np.ndarray:
    return load(content, 64).pixels[..., 0].astype(int)


def differs_by(content: bytes, expected: np.ndarray = GREYS) -> float:
    return float(np.abs(grey_of(content) - expected[..., 0]).max())


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_few_bits_in_sixteen_keep_their_brightness(bits: int) -> None:
    samples = np.round(GREYS / 255 * (2**bits - 1)).astype(int)
    assert differs_by(write_tiff(samples, 16)) <= 3
    assert differs_by(write_png(samples.astype(np.uint64), 16, 0)) <= 3
    assert differs_by(write_tiff(2**bits - 1 - samples, 16, WHITE_IS_ZERO)) <= 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floats_of_any_usual_range_keep_their_brightness(top: float, order: str) -> None:
    assert differs_by(write_tiff(GREYS / 255 * top, 32, BLACK_IS_ZERO, FLOAT, order=order)) <= 3


@pytest.mark.parametrize("above", [1.01, 1.2, 40.0, 1e30, np.inf])
def test_a_few_values_above_the_range_do_not_darken_an_image(above: float) -> None:
    values = GREYS / 255
    values[0, :8] = above
    assert np.abs(grey_of(write_tiff(values, 32, BLACK_IS_ZERO, FLOAT)) - GREYS[..., 0])[1:].max() <= 4


def test_unsigned_values_above_half_of_the_range_are_not_negative() -> None:
    samples = (GREYS * 2**24).astype(np.uint64)
    assert differs_by(write_tiff(samples, 32)) <= 3


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_signed_values_around_zero_are_unsupported(bits: int) -> None:
    samples = np.round((GREYS - 128) / 128 * (2 ** (bits - 1) - 1)).astype(int)
    with pytest.raises(UnreadableImageError, match=UNSUPPORTED):
        load(write_tiff(samples, bits, BLACK_IS_ZERO, SIGNED), 64)


@pytest.mark.parametrize("values", [np.zeros_like(GREYS), np.full_like(GREYS, np.nan), GREYS * 1e-9])
def test_floats_without_a_range_are_unsupported_rather_than_black(values: np.ndarray) -> None:
    with pytest.raises(UnreadableImageError, match=UNSUPPORTED):
        load(write_tiff(values, 32, BLACK_IS_ZERO, FLOAT), 64)


def test_a_declared_maximum_is_white() -> None:
    samples = np.round(GREYS / 255 * 3000).astype(int)
    assert differs_by(write_tiff(samples, 16, tags={281: (3000,)})) <= 3
    wide = np.round(GREYS / 255 * 4095).astype(int)
    assert differs_by(write_tiff(wide, 16, tags={281: (1,)})) <= 3, "a maximum that the values exceed is ignored"


def test_packed_twelve_bits_have_their_declared_range() -> None:
    samples = np.round(GREYS / 255 * 1000).astype(int)
    assert differs_by(write_tiff(samples, 12, BLACK_IS_ZERO, UNSIGNED), GREYS * 1000 / 4095) <= 3
