"""Decode: from untrusted bytes to the uint8 pixels that a backbone takes, or a named reason (`reasons.py`).

Training and prediction share it. Few formats are decoded (`file_kinds.py`), and the pixel limit applies before memory
is allocated.
"""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import simplejpeg
from PIL import AvifImagePlugin, ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pipeline.embed.file_kinds import DECODED_FORMATS, HAS_HEIF, explain_unopened
from pipeline.embed.fits import LETTERBOX, Fit
from pipeline.embed.formats.colour import is_near_srgb, profile_of, to_srgb
from pipeline.embed.formats.grey import reopen_wide, to_bytes
from pipeline.embed.formats.mending import explain, mend
from pipeline.embed.formats.tiff import open_photo
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.reasons import (
    DAMAGED,
    EMPTY,
    NOTHING_VISIBLE,
    OUT_OF_MEMORY,
    TOO_MANY_PIXELS,
    TRUNCATED,
    UnreadableImageError,
)

TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that turn an image upright, by EXIF orientation; from 5 on, width and height are swapped."""

Image.MAX_IMAGE_PIXELS = None  # `_open` enforces the limit; Pillow would refuse at twice its own
Image.init()  # registers the parsers; open() looks the formats up among the registered ones
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a worker has one core
PngImagePlugin.MAX_TEXT_CHUNK = 2**24  # texts and profiles of sound files exceed Pillow's 1 MiB
if HAS_HEIF:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    pillow_heif.options.DECODE_THREADS = 1

MAX_SIDE: Final = 2**31 - 1  # what a column of sizes holds
VISIBLE_BELOW: Final = 250  # brightness on white from which nothing is seen

DECODING_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow's parsers raise on hostile bytes; any other counts as a crash (`embedding.py`)."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: uint8; from `decode` fitted RGB, `[size, size, 3]`; from `load` upright RGB and an unused fourth
            channel, `[rows, columns, 4]`.
        width, height: size of the upright original, in pixels.
        format: format of the file, such as `JPEG`.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str


def decode(content: bytes, size: int, fit: Fit = LETTERBOX) -> DecodedImage:
    """Decodes the first frame of an image, turns it upright and fits it to a square of `size` pixels.

    Raises:
        UnreadableImageError: if it cannot be decoded; its text is the reason.
    """
    loaded = load(content, size, fit=fit)
    return replace(loaded, pixels=fit.place(loaded.pixels, size))


def load(content: bytes, size: int, max_pixels: int = DEFAULT_LIMITS.pixels, fit: Fit = LETTERBOX) -> DecodedImage:
    """Decodes an image of at most `max_pixels` and downscales it to less than twice the square; see `decode`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        try:
            return _load(content, size, max_pixels, fit)
        except UnreadableImageError as error:
            if str(error) not in (DAMAGED, TRUNCATED):
                raise
            mended = mend(content)
            if mended is not None:
                with suppress(UnreadableImageError):
                    return _load(mended, size, max_pixels, fit)
            raise UnreadableImageError(explain(content, str(error))) from error


def _load(content: bytes, size: int, max_pixels: int, fit: Fit) -> DecodedImage:
    if not content:
        raise UnreadableImageError(EMPTY)
    image = _open(content, max_pixels)
    file_format, (width, height) = str(image.format), image.size
    image.draft(None, fit.scale(width, height, size))  # a JPEG is scaled while it is decoded, never below this size
    pixels = _decode_plain_jpeg(content, image, size, fit)
    if pixels is not None:
        return DecodedImage(pixels, width, height, file_format)
    try:
        image.load()
        orientation = _orientation(image)
        image = _to_small_rgb(image, content, size, fit)
        if orientation > 1:
            image = image.transpose(TURNS[orientation])
        pixels = np.asarray(image.convert("RGBA"))
    except UnreadableImageError:
        raise
    except DECODING_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, width, height, file_format)


def _open(content: bytes, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=DECODED_FORMATS)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            image = open_photo(image)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(explain_unopened(content)) from error
    except UnreadableImageError:
        raise
    except DECODING_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error
    if image.width * image.height > max_pixels:
        raise UnreadableImageError(TOO_MANY_PIXELS, image.size if max(image.size) <= MAX_SIDE else (None, None))
    return image


def _decode_plain_jpeg(content: bytes, image: Image.Image, size: int, fit: Fit) -> np.ndarray | None:
    """Decodes an intact, upright JPEG in sRGB that needs no `_shrink` faster than Pillow, to equal pixels.

    Returns:
        Pixels as from `load`, in the draft's size; None if Pillow must decode the file or report its damage.
    """
    if image.format not in ("JPEG", "MPO") or max(image.size) < 8 or _orientation(image) > 1:
        return None
    if not fit.is_near(*image.size, size) or not is_near_srgb(profile_of(image)):
        return None
    width, height = image.size
    try:
        *shape, colour_space, _ = simplejpeg.decode_jpeg_header(content, height, width)
        if shape != [height, width] or colour_space not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(content, "RGBX", min_height=height, min_width=width)
    except (MemoryError, ValueError):
        return None


def _to_small_rgb(image: Image.Image, content: bytes, size: int, fit: Fit) -> Image.Image:
    profile = profile_of(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = to_bytes(image)
    elif wide := reopen_wide(image, content):
        image = wide
    if image.mode in ("CMYK", "LAB"):
        return to_srgb(_shrink(image, size, fit), profile).convert("RGB")
    if image.has_transparency_data:
        image = _on_white(image)
    return to_srgb(_shrink(image if image.mode == "RGB" else image.convert("RGB"), size, fit), profile)


def _on_white(image: Image.Image) -> Image.Image:
    """Composites an image on white: hidden colours must not show through.

    Raises:
        UnreadableImageError: if nothing is left to see.
    """
    file_format = image.format
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = np.asarray(image.getchannel("A"))
    if file_format == "BMP" and not alpha.any():
        return image.convert("RGB")  # as all viewers do: writers leave the channel at zero
    white = Image.new("RGBA", image.size, "white")
    composite = Image.alpha_composite(white, image).convert("RGB")
    if alpha.min() < 255 and np.asarray(composite).min() >= VISIBLE_BELOW:
        raise UnreadableImageError(NOTHING_VISIBLE)
    return composite


def _shrink(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """Fits an image at least twice as large as the square: reduces by whole blocks, then resamples."""
    if fit.is_near(*image.size, size):
        return image
    return image.resize(fit.scale(*image.size, size), Image.Resampling.HAMMING, reducing_gap=2.0)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    return TRUNCATED if "truncated" in str(error).lower() else DAMAGED


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DECODING_ERRORS:
        return 1  # a damaged EXIF block carries no orientation
    return orientation if orientation in TURNS else 1
