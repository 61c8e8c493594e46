"""Grey: images whose samples are wider than a byte, scaled to bytes by the range that their values use.

Such files hold 8, 12 or 16 bits in 16, or floats of any range, and rarely declare it.
"""

import io
import sys
from typing import Final

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin
from PIL.ExifTags import Base

from pipeline.embed.formats.tiff import (
    MAX_SAMPLE_VALUE,
    SAMPLE_FORMAT,
    SIGNED,
    WHITE_IS_ZERO,
    is_planar,
    open_photo,
    tags_of,
)
from pipeline.embed.reasons import UNSUPPORTED, UnreadableImageError

INTEGER_RANGES: Final = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 15, 16, 24, 31, 32))
FLOAT_RANGES: Final = (1.0, *INTEGER_RANGES[:6])
HIGH_QUANTILE: Final = 0.995  # of the values; the few above are sharpening, dead sensor cells or dust
TOLERANCE: Final = 1.02  # factor above a range that the quantile may reach
MIN_SHARE: Final = 0.02  # of the smallest range that it must reach, else the image would be black
MAX_DARKENING: Final = 8  # times the quantile that the next range may be; beyond, the quantile is white itself
MAX_NEGATIVE_SHARE: Final = {"i": 0.001, "u": 0.001, "f": 0.4}  # of values, by kind of number; few negatives are black
NEARLY_UNUSED: Final = 64  # high byte below which 16-bit colours may hold 14 bits or fewer
SAMPLED: Final = 2**17  # values that the quantile is taken from


def to_bytes(image: Image.Image) -> Image.Image:
    """Scales an image of the modes `I;16`, `I` or `F` to the mode `L`.

    Raises:
        UnreadableImageError: if its values show no range.
    """
    values = np.asarray(image)
    tags = tags_of(image)
    if values.dtype == np.int32 and SIGNED not in tags.get(SAMPLE_FORMAT, ()):
        values = values.view(np.uint32)  # Pillow has no unsigned mode
    ranges = FLOAT_RANGES if values.dtype.kind == "f" else INTEGER_RANGES
    white = _declared_white(image, values) or find_white(values, ranges)
    grey = _scale(values, white)
    if tags.get(Base.PhotometricInterpretation) == WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def find_white(values: np.ndarray, ranges: tuple[float, ...] = INTEGER_RANGES) -> float:
    """Finds the value of white: the end of the smallest range that holds nearly all values.

    Args:
        values: numbers of any shape.
        ranges: ends of the usual ranges, ascending.

    Raises:
        UnreadableImageError: if many values are negative, or all are next to nothing.
    """
    sample = _sample(values)
    is_valid = np.isfinite(sample) & (sample >= 0)
    negative_share = (np.isfinite(sample) & (sample < 0)).mean()
    high = float(np.quantile(sample[is_valid], HIGH_QUANTILE)) if is_valid.any() else 0.0
    if negative_share > MAX_NEGATIVE_SHARE[values.dtype.kind] or high < MIN_SHARE * ranges[0]:
        raise UnreadableImageError(UNSUPPORTED)
    white = next((end for end in ranges if high <= end * TOLERANCE), high)
    return white if white == ranges[0] or white <= MAX_DARKENING * high else high


def reopen_wide(image: Image.Image, content: bytes) -> Image.Image | None:
    """Reads the low bytes of a colour image of 16-bit samples that leave the high bytes nearly unused.

    Pillow keeps the high bytes only, so 12 bits in 16 would have a sixteenth of their brightness.

    Args:
        image: decoded image; its tile is gone, so the layout is read again from `content`.
        content: bytes of the file.

    Returns:
        The image scaled to bytes; None if its high bytes are enough, or its samples have 8 bits.

    Raises:
        UnreadableImageError: if the low bytes cannot be read.
    """
    if image.format not in ("PNG", "TIFF") or image.mode != "RGB":
        return None
    high = np.asarray(image)
    if np.quantile(_sample(high), HIGH_QUANTILE) >= NEARLY_UNUSED:
        return None
    low = Image.open(io.BytesIO(content), formats=[image.format])
    if isinstance(low, TiffImagePlugin.TiffImageFile):
        low = open_photo(low)
    if not _swap_bytes(low):
        return None
    if is_planar(low):
        raise UnreadableImageError(UNSUPPORTED)  # libtiff unpacks planes in its own way
    values = high.astype(np.uint16) << 8 | np.asarray(low)
    return Image.fromarray(_scale(values, find_white(values)))


def _swap_bytes(image: ImageFile.ImageFile) -> bool:
    """Makes an image that is not loaded yet unpack the low bytes of its 16-bit samples; false if it has none."""
    args = image.tile[0].args or ("",)
    layout, *more = (args,) if isinstance(args, str) else args
    swapped = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16" + "LB"[sys.byteorder == "little"]}
    if layout not in swapped:
        return False
    args = (swapped[layout], *more) if more else swapped[layout]
    image.tile = [each._replace(args=args) for each in image.tile]
    return True


def _declared_white(image: Image.Image, values: np.ndarray) -> float | None:
    """The end of the range that a TIFF declares; None if it declares none, or one that its values exceed."""
    tags = tags_of(image)
    declared = tags.get(MAX_SAMPLE_VALUE, ())
    bits = tags.get(Base.BitsPerSample, ())
    if bits == (12,):
        return 4095.0
    if not declared or not isinstance(declared[0], int) or declared[0] < 1:
        return None
    return float(declared[0]) if np.quantile(_sample(values), HIGH_QUANTILE) <= declared[0] * TOLERANCE else None


def _scale(values: np.ndarray, white: float) -> np.ndarray:
    scaled = np.nan_to_num(values.astype(np.float32), posinf=white, neginf=0) * np.float32(255 / white)
    return np.clip(scaled + np.float32(0.5), 0, 255).astype(np.uint8)


def _sample(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLED)].astype(np.float64)
