"""TIFF and PNG of every sample layout: either the colours of the reference, or a rejection as unsupported."""

import itertools

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from raw_files import (
    BLACK_IS_ZERO,
    CMYK,
    DEFLATE,
    FLOAT,
    LZW,
    NONE,
    PACKBITS,
    PLANAR,
    PREMULTIPLIED,
    RGB,
    SIGNED,
    STRAIGHT,
    TOGETHER,
    UNSIGNED,
    UNSPECIFIED,
    WHITE_IS_ZERO,
    write_png,
    write_tiff,
)

from pipeline.embed.decode import decode, load
from pipeline.embed.reasons import DAMAGED, TRUNCATED, UNSUPPORTED, UnreadableImageError

HEIGHT, WIDTH = 12, 16
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
RED, GREEN = COLUMNS * 255 // (WIDTH - 1), ROWS * 255 // (HEIGHT - 1)
COLOURS = np.stack([RED, GREEN, 255 - (RED + GREEN) // 2], -1)
GREYS = ((RED * 2 + GREEN) // 3)[..., None]
OPAQUE = np.full((HEIGHT, WIDTH, 1), 255)
TOLERANCE = 3  # steps of 255


def scale(levels: np.ndarray, bits: int, sample_format: int) -> np.ndarray:
    """Scales levels of 0 to 255 to the range of a layout."""
    if sample_format == FLOAT:
        return levels / 255
    if bits == 64:
        return levels.astype(np.uint64) << np.uint64(55)
    return np.round(levels / 255 * (2 ** (bits - (sample_format == SIGNED)) - 1)).astype(np.uint64)


def describe(content: bytes, expected: np.ndarray) -> str:
    """Whether a file is decoded to the expected colours; else why not."""
    try:
        pixels = load(content, 64).pixels[..., :3]
    except UnreadableImageError as error:
        return str(error)
    return "right" if np.abs(pixels.astype(int) - expected).max() <= TOLERANCE else "wrong"


def round_levels(levels: np.ndarray, bits: int) -> np.ndarray:
    top = 2 ** min(bits, 8) - 1
    return np.round(levels / 255 * top) / top * 255


@pytest.mark.parametrize("sample_format", [UNSIGNED, SIGNED, FLOAT])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK])
def test_a_tiff_of_any_layout_has_the_right_colours_or_is_unsupported(photometric: int, sample_format: int) -> None:
    reference = COLOURS if photometric in (RGB, CMYK) else GREYS
    levels = 255 - reference if photometric in (WHITE_IS_ZERO, CMYK) else reference
    levels = np.concatenate([levels, OPAQUE - 255], -1) if photometric == CMYK else levels
    outcomes: dict[str, list[object]] = {}
    layouts = itertools.product(
        (1, 2, 4, 8, 10, 12, 14, 16, 24, 32, 64),
        (TOGETHER, PLANAR),
        "<>",
        (NONE, LZW, DEFLATE, PACKBITS),
        ((), (UNSPECIFIED,), (PREMULTIPLIED,), (STRAIGHT,)),
        (False, True),
    )
    for bits, planar, order, compression, extra, big in layouts:
        if (sample_format == FLOAT and bits < 16) or (sample_format == SIGNED and bits < 8):
            continue
        if (sample_format == FLOAT and bits == 24) or (big and compression != NONE):
            continue
        samples = scale(np.concatenate([levels, OPAQUE], -1) if extra else levels, bits, sample_format)
        content = write_tiff(samples, bits, photometric, sample_format, planar, order, compression, extra, big)
        outcome = describe(content, round_levels(reference, bits))
        outcomes.setdefault(outcome, []).append((bits, planar, order, compression, extra, big))
    assert outcomes.keys() <= {"right", UNSUPPORTED}, {name: outcomes[name][:5] for name in outcomes}
    if sample_format == UNSIGNED:
        assert len(outcomes["right"]) >= 32


@pytest.mark.parametrize(
    ("colour", "bits"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)],
)
def test_a_png_of_any_layout_has_the_right_colours(colour: int, bits: int) -> None:
    reference = COLOURS if colour & 2 else GREYS
    levels = np.concatenate([reference, OPAQUE], -1) if colour & 4 else reference
    content = write_png(scale(levels, bits, UNSIGNED), bits, colour)
    assert describe(content, round_levels(reference, bits)) == "right"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [TOGETHER, PLANAR])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colours_of_few_bits_in_sixteen_keep_their_brightness_or_are_unsupported(
    bits: int, planar: int, order: str
) -> None:
    samples = scale(COLOURS, bits, UNSIGNED)
    expected = "right" if planar == TOGETHER else UNSUPPORTED
    assert describe(write_tiff(samples, 16, RGB, UNSIGNED, planar, order), COLOURS) == expected
    assert describe(write_png(samples, 16, 2), COLOURS) == "right"


def add_directory(thumbnail: bytes, photo: bytes) -> bytes:
    """Puts a photo behind a thumbnail, both little-endian."""
    offset = len(thumbnail)
    moved = bytearray(photo)
    (start,) = np.frombuffer(photo, "<u4", 1, 4)
    count = int(np.frombuffer(photo, "<u2", 1, start)[0])
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, values = np.frombuffer(photo[entry : entry + 8], "<u2")[[0, 1, 2]]
        if tag == 273 or values > 1:
            old = int(np.frombuffer(photo, "<u4", 1, entry + 8)[0])
            moved[entry + 8 : entry + 12] = (old + offset).to_bytes(4, "little")
    first = int(np.frombuffer(thumbnail, "<u4", 1, 4)[0])
    entries = int(np.frombuffer(thumbnail, "<u2", 1, first)[0])
    chained = bytearray(thumbnail)
    end = first + 2 + 12 * entries
    chained[end : end + 4] = (int(start) + offset).to_bytes(4, "little")
    return bytes(chained + moved)


def test_a_thumbnail_before_the_photo_is_passed_over() -> None:
    thumbnail = write_tiff(COLOURS[::4, ::4], 8, RGB, tags={254: (1,)})
    content = add_directory(thumbnail, write_tiff(COLOURS, 8, RGB, tags={254: (0,)}))
    assert describe(content, COLOURS) == "right"
    assert (load(content, 64).width, load(content, 64).height) == (WIDTH, HEIGHT)


def test_a_file_of_a_thumbnail_and_raw_data_is_unsupported() -> None:
    thumbnail = write_tiff(COLOURS[::4, ::4], 8, RGB, tags={254: (1,)})
    raw = write_tiff(GREYS, 16, 32803, tags={254: (0,)})
    assert describe(add_directory(thumbnail, raw), COLOURS) == UNSUPPORTED
    assert describe(thumbnail, COLOURS) == UNSUPPORTED


@pytest.mark.parametrize("compression", [34887, 50001, 50002], ids=["LERC", "WebP", "JPEG XL"])
def test_a_compression_that_is_not_decoded_is_unsupported(compression: int) -> None:
    assert describe(write_tiff(COLOURS, 8, RGB, tags={259: (compression,)}), COLOURS) == UNSUPPORTED


def test_an_unknown_compression_is_damage_and_missing_pixels_are_truncation() -> None:
    assert describe(write_tiff(COLOURS, 8, RGB, tags={259: (60_000,)}), COLOURS) == DAMAGED
    assert describe(write_tiff(COLOURS, 8, RGB, tags={273: (10**6,)}), COLOURS) == TRUNCATED


def test_pillow_reads_all_files_by_libtiff() -> None:
    assert TiffImagePlugin.READ_LIBTIFF


def test_a_lab_tiff_has_the_colours_of_its_image() -> None:
    lab = np.zeros((8, 8, 3), np.uint8)
    lab[..., 0], lab[..., 1], lab[..., 2] = 136, 81, 70  # CIE L 53, a 81, b 70: near pure red
    pixels = decode(write_tiff(lab.astype(int), 8, 8), 8).pixels
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() < 25


def test_an_image_of_which_nothing_is_left_is_not_answered() -> None:
    clear = np.concatenate([COLOURS, OPAQUE - 255], -1)
    with pytest.raises(UnreadableImageError, match="nothing visible"):
        load(write_png(clear, 8, 6), 64)
    drawn = np.concatenate([np.full_like(COLOURS, 255), 255 - GREYS], -1)
    with pytest.raises(UnreadableImageError, match="nothing visible"):
        load(write_png(drawn, 8, 6), 64)
    white = Image.new("RGBA", (8, 8), "white")
    assert load(write_png(np.asarray(white), 8, 6), 64).pixels.min() == 255
