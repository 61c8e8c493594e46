"""Colour: converts decoded pixels to sRGB where the file declares another colour space.

The space is an ICC profile or, in a PNG, gamma and primaries. A space near sRGB is left as it is: it costs nothing.
"""

import io
import struct
from functools import lru_cache
from typing import Final, cast

import numpy as np
from PIL import Image, ImageCms

NEAR_SRGB: Final = 2.0  # mean difference of colours, in steps of 255, below which a profile counts as sRGB
MAX_PROFILE_BYTES: Final = 2**22
_SRGB_GAMMA: Final = 0.45455
_SRGB_PRIMARIES: Final = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of white, red, green, blue
_MODES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_D50: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of(image: Image.Image) -> bytes:
    """The ICC profile of an image, or one made of a PNG's gamma and primaries; empty if it declares none."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile if len(profile) <= MAX_PROFILE_BYTES else b""
    if image.format != "PNG" or "srgb" in image.info or not {"gamma", "chromaticity"} & image.info.keys():
        return b""
    return make_profile(image.info.get("gamma", _SRGB_GAMMA), tuple(image.info.get("chromaticity", _SRGB_PRIMARIES)))


def is_near_srgb(profile: bytes) -> bool:
    """Whether pixels with this profile need no conversion."""
    return not profile or _mode_to_convert(profile) is None


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts an image of the mode `RGB`, `CMYK` or `LAB` to `RGB`; returns one that its profile does not fit."""
    if image.mode == "LAB" and not profile:
        return _apply(image, _lab_transform())
    mode = _mode_to_convert(profile) if profile else None
    if mode is None:
        return image
    if mode == "L" and image.mode == "RGB":
        return image.point(_grey_table(profile) * 3)
    return _apply(image, _transform(profile, mode)) if mode == image.mode else image


def make_profile(gamma: float, primaries: tuple[float, ...]) -> bytes:
    """Makes an ICC profile of a power law and primaries, by the ICC specification, version 2.

    Args:
        gamma: exponent from light to sample values, such as 0.45455.
        primaries: x and y of white, red, green and blue.

    Returns:
        The profile; empty if the numbers are no colour space.
    """
    points = np.array(primaries, np.float64).reshape(-1, 2)
    if len(points) != 4 or not 0.05 < gamma < 5 or (points[:, 1] <= 0).any():
        return b""
    white, *colours = np.column_stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(1)) / points[:, 1]])
    columns = np.transpose(colours)
    if abs(np.linalg.det(columns)) < 1e-6:
        return b""
    columns = columns * np.linalg.solve(columns, white)
    columns = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD @ columns
    if np.abs(columns).max() > 4:
        return b""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 / gamma)) + bytes(2)
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    tags |= {b"wtpt": _xyz(_D50)} | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(data), len(value))
        data += value
    head = struct.pack(">I4xI4s4s4s12x4s28x", 128 + len(table + data), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head + struct.pack(">iii", *(round(value * 65536) for value in _D50))).ljust(128, b"\0") + table + data


def _xyz(values: np.ndarray | tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


@lru_cache(maxsize=8)
def _mode_to_convert(profile: bytes) -> str | None:
    """The mode of pixels that the profile converts; None if it is broken or near sRGB."""
    try:
        space = ImageCms.getOpenProfile(io.BytesIO(profile)).profile.xcolor_space
    except (OSError, ImageCms.PyCMSError):
        return None
    mode = _MODES.get(space)
    if mode not in ("RGB", "L", "CMYK"):
        return None
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
    try:
        transform = _transform(profile, mode)
        if mode == "CMYK":
            return mode
        converted = np.asarray(_apply(Image.fromarray(colours).convert(mode), transform))
    except (OSError, ImageCms.PyCMSError):
        return None
    return mode if np.abs(converted.astype(int) - colours).mean() > NEAR_SRGB else None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source, target = ImageCms.getOpenProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


@lru_cache(maxsize=8)
def _grey_table(profile: bytes) -> list[int]:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    return np.asarray(_apply(ramp, _transform(profile, "L")).convert("L"))[0].tolist()


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    return cast(Image.Image, ImageCms.applyTransform(image, transform))  # None only where it works in place
