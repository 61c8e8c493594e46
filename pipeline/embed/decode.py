"""Decode: from untrusted bytes to the uint8 pixels that a backbone takes, or a named reason (`reasons.py`).

Training and prediction share it. Few formats are decoded (`file_kinds.py`), and the pixel limit applies before memory
is allocated.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.embed.file_kinds import DECODED_FORMATS, explain_unopened
from pipeline.embed.letterbox import fit, letterbox
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.reasons import DAMAGED, EMPTY, OUT_OF_MEMORY, TOO_MANY_PIXELS, TRUNCATED, UnreadableImageError

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

DECODING_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
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
        pixels: uint8; from `decode` letterboxed RGB, `[size, size, 3]`; from `load` upright RGB and an unused fourth
            channel, `[rows, columns, 4]`.
        width, height: size of the upright original, in pixels.
        format: format of the file, such as `JPEG`.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str


def decode(content: bytes, size: int) -> DecodedImage:
    """Decodes the first frame of an image, turns it upright and letterboxes it to a square of `size` pixels.

    Raises:
        UnreadableImageError: if it cannot be decoded; its text is the reason.
    """
    loaded = load(content, size)
    return replace(loaded, pixels=letterbox(loaded.pixels, size))


def load(content: bytes, size: int, max_pixels: int = DEFAULT_LIMITS.pixels) -> DecodedImage:
    """Decodes an image of at most `max_pixels` and downscales it to less than twice the square; see `decode`."""
    if not content:
        raise UnreadableImageError(EMPTY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not matter here
        image = _open(content, max_pixels)
        file_format, (width, height) = str(image.format), image.size
        image.draft(None, fit(width, height, size))  # a JPEG is scaled while it is decoded, never below this size
        pixels = _decode_plain_jpeg(content, image, size)
        if pixels is not None:
            return DecodedImage(pixels, width, height, file_format)
        try:
            image.load()
            orientation = _orientation(image)
            image = _shrink(_to_rgb(image), size)
            if orientation > 1:
                image = image.transpose(TURNS[orientation])
            pixels = np.asarray(image.convert("RGBA"))
        except DECODING_ERRORS as error:
            raise UnreadableImageError(_reason(error)) from error
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, width, height, file_format)


def _open(content: bytes, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=DECODED_FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(explain_unopened(content)) from error
    except DECODING_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error
    if image.width * image.height > max_pixels:
        raise UnreadableImageError(TOO_MANY_PIXELS, image.size)
    return image


def _decode_plain_jpeg(content: bytes, image: Image.Image, size: int) -> np.ndarray | None:
    """Decodes an intact, upright JPEG that needs no `_shrink` faster than Pillow, to equal pixels in the draft's size.

    Returns:
        Pixels as from `load`; None if Pillow must decode the file or report its damage.
    """
    if image.format not in ("JPEG", "MPO") or not 8 <= max(image.size) < 2 * size or _orientation(image) > 1:
        return None
    width, height = image.size
    try:
        *shape, colour_space, _ = simplejpeg.decode_jpeg_header(content, height, width)
        if shape != [height, width] or colour_space not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(content, "RGBX", min_height=height, min_width=width)
    except (MemoryError, ValueError):
        return None


def _shrink(image: Image.Image, size: int) -> Image.Image:
    """Fits an image at least twice as large as the square: reduces by whole blocks, then resamples."""
    if max(image.size) < 2 * size:
        return image
    return image.resize(fit(*image.size, size), Image.Resampling.HAMMING, reducing_gap=2.0)


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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # convert() would clip to white
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGBA", image.size, "white")  # hidden colours must not show through
        image = Image.alpha_composite(opaque, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Scales grey values to bytes; their maximum decides whether the range is 0-1, 0-255 or 0-65535."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(min=0)
    top = values.max(initial=0)
    full = next((full for full in (1.0, 255.0, 65535.0) if top <= full), top)
    return (values * (255 / full)).astype(np.uint8)
