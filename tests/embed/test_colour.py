"""Colour: pixels of another colour space become sRGB; those near it are left alone."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from raw_files import write_png

from pipeline.embed.decode import load
from pipeline.embed.formats.colour import is_near_srgb, make_profile

WHITE = (0.3127, 0.3290)
SRGB = (*WHITE, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SWAPPED = (*WHITE, 0.15, 0.06, 0.30, 0.60, 0.64, 0.33)
DISPLAY_P3 = (*WHITE, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
PHOTO = np.stack(np.meshgrid(*[np.linspace(20, 235, 8).astype(np.uint8)] * 2), -1)
PHOTO = np.concatenate([PHOTO, np.full((8, 8, 1), 90, np.uint8)], -1)


def to_linear(levels: np.ndarray) -> np.ndarray:
    share = levels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def save(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def shown(content: bytes) -> np.ndarray:
    return load(content, 8).pixels[..., :3].astype(int)


def test_linear_values_become_as_bright_as_they_are_meant() -> None:
    linear = np.round(to_linear(PHOTO) * 255).astype(np.uint8)
    content = save(Image.fromarray(linear), "PNG", icc_profile=make_profile(1.0, SRGB))
    assert np.abs(shown(content) - PHOTO).max() <= 6
    assert np.abs(shown(save(Image.fromarray(linear), "PNG")) - linear).max() == 0


def test_swapped_primaries_are_swapped_back() -> None:
    swapped = Image.fromarray(np.ascontiguousarray(PHOTO[..., ::-1]))
    for file_format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        content = save(swapped, file_format, icc_profile=make_profile(0.45455, SWAPPED), **options)
        assert np.abs(shown(content) - PHOTO).max() <= 9, file_format


def test_a_jpeg_of_a_phone_is_converted_from_display_p3() -> None:
    plain = Image.fromarray(np.full((16, 16, 3), (200, 60, 60), np.uint8))
    content = save(plain, "JPEG", icc_profile=make_profile(0.45455, DISPLAY_P3))
    red, green, blue = shown(content)[0, 0]
    assert (red > 212, green < 55, blue < 60) == (True, True, True)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_gamma_of_a_png_counts(mode: str) -> None:
    linear = np.round(to_linear(PHOTO) * 255).astype(np.uint8)
    samples, colour = (linear, 2) if mode == "RGB" else (linear[..., :1], 0)
    content = write_png(samples, 8, colour, {b"gAMA": struct.pack(">I", 100_000)})
    expected = PHOTO if mode == "RGB" else PHOTO[..., :1]
    assert np.abs(shown(content) - expected).max() <= 6


def test_the_primaries_of_a_png_count_unless_it_declares_srgb() -> None:
    primaries = struct.pack(">8I", *(round(value * 100_000) for value in SWAPPED))
    swapped = PHOTO[..., ::-1]
    assert np.abs(shown(write_png(swapped, 8, 2, {b"cHRM": primaries})) - PHOTO).max() <= 9
    both = {b"sRGB": b"\0", b"cHRM": primaries}
    assert np.abs(shown(write_png(swapped, 8, 2, both)) - swapped).max() == 0


def test_a_profile_of_another_mode_is_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = Image.fromarray(PHOTO).convert("CMYK")
    with_rgb_profile = save(photo, "TIFF", icc_profile=profile)
    assert np.abs(shown(with_rgb_profile) - shown(save(photo, "TIFF"))).max() == 0


@pytest.mark.parametrize("gamma", [0.45455, 0.4545, 1 / 2.2])
def test_profiles_near_srgb_cost_nothing(gamma: float) -> None:
    assert is_near_srgb(make_profile(gamma, SRGB))
    assert is_near_srgb(b"")
    assert is_near_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


@pytest.mark.parametrize("profile", [b"no profile", bytes(128), make_profile(1.0, SRGB)[:200], b"x" * 2**20])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    content = save(Image.fromarray(PHOTO), "TIFF", icc_profile=profile)
    assert np.abs(shown(content) - PHOTO).max() == 0


@pytest.mark.parametrize(
    ("gamma", "primaries"), [(0.0, SRGB), (1e9, SRGB), (0.45, (0.0,) * 8), (0.45, (0.3, 0.3) * 4), (0.45, SRGB[:4])]
)
def test_numbers_that_are_no_colour_space_make_no_profile(gamma: float, primaries: tuple[float, ...]) -> None:
    assert make_profile(gamma, primaries) == b""
