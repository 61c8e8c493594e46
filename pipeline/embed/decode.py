"""Preprocess: from the bytes of a picture to the uint8 pixels that a backbone takes, or the reason why there are none.

One function for training and for prediction. Pictures come from strangers: a short list of formats, a limit on pixels
before memory is taken, and a named reason for everything that cannot be read.
"""

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.embed.letterbox import fit, letterbox
from pipeline.embed.limits import DEFAULT_LIMITS

DECODING_PACKAGES: Final = ("pillow", "simplejpeg", "opencv-python-headless")
"""Whose versions decide of the pixels."""

FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation; from 5 on, width and height change places."""

PICTURE_START: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]", re.DOTALL
)
"""How a file of one of the formats begins: what does, and cannot be opened, is a damaged picture."""

OTHER_START: Final = re.compile(
    rb"....ftyp(?:hei[cfmsx]|hev[cmsx]|mi[fa]1|msf1|avi[fs])|\0{3}\x0cJXL |\xff\x0a|\0{3}\x0cjP  |\xff\x4f\xff\x51"
    rb"|8BPS|DDS |\0\0\x01\0[^\0]\0|P[1-7]\s|icns|gimp xcf|\x01\xda[\0\x01][\x01\x02]|\x0a[\0-\5]\x01[\x01\2\4\x08]"
    rb"|qoif|(?:<\?xml[^>]*>\s*)?<svg",
    re.DOTALL,
)
"""How pictures of formats begin that are not taken, such as HEIC, AVIF, JPEG XL, JPEG 2000, PSD, ICO and SVG."""

Image.MAX_IMAGE_PIXELS = None  # `_open` refuses, at any limit; Pillow would at twice its own
Image.init()  # registers the parsers; open() looks FORMATS up among the registered ones

EMPTY: Final = "empty"
NOT_AN_IMAGE: Final = "not an image"
UNSUPPORTED: Final = "unsupported format"
TRUNCATED: Final = "truncated"
DAMAGED: Final = "damaged"
TOO_MANY_PIXELS: Final = "too many pixels"
OUT_OF_MEMORY: Final = "out of memory"
"""The worker's fault and not the picture's: it is tried again the next time."""

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
"""What Pillow's parsers raise on hostile bytes; anything else is a fault of ours and stops the task."""


class UnreadableImageError(ValueError):
    """A picture that cannot be decoded; its text is one of the reasons above.

    Attributes:
        shape: width and height in pixels, where they are the reason.
    """

    def __init__(self, reason: str, shape: tuple[int, int] | tuple[None, None] = (None, None)) -> None:
        """Tells the reason."""
        super().__init__(reason)
        self.shape = shape


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 RGB, `[size, size, 3]`, letterboxed.
        width: of the upright original, in pixels.
        height: of the upright original, in pixels.
        format: name of the file's format, such as `JPEG`.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Photo:
    """A picture as it is loaded: upright, and perhaps at a fraction of its size.

    Attributes:
        image: uint8 RGB and a fourth channel that means nothing, `[rows, columns, 4]`.
        width: of the upright original, in pixels.
        height: of the upright original, in pixels.
        format: name of the file's format, such as `JPEG`.
    """

    image: np.ndarray
    width: int
    height: int
    format: str


def decode(content: bytes, size: int) -> Picture:
    """Decodes the first frame of a picture, turns it upright and letterboxes it to a square.

    Args:
        content: the bytes of the file.
        size: side of the square, in pixels.

    Raises:
        UnreadableImageError: with the reason as its text.
    """
    photo = load(content, size)
    return Picture(letterbox(photo.image, size), photo.width, photo.height, photo.format)


def load(content: bytes, size: int, max_pixels: int = DEFAULT_LIMITS.pixels) -> Photo:
    """Decodes a picture of so many pixels at most, and shrinks it to less than twice the square; see `decode`."""
    if not content:
        raise UnreadableImageError(EMPTY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the picture counts, not its EXIF
        image = _open(content, max_pixels)
        picture_format, (width, height) = str(image.format), image.size
        image.draft(None, fit(width, height, size))  # a JPEG is scaled down while it is decoded, no further than this
        pixels = _decode_plain_jpeg(content, image, size)
        if pixels is not None:
            return Photo(pixels, width, height, picture_format)
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
    return Photo(pixels, width, height, picture_format)


def _tell_kind(content: bytes) -> str:
    """Why nothing could be opened, from how the bytes begin."""
    start = content[:1024]
    if PICTURE_START.match(start):
        return DAMAGED
    return UNSUPPORTED if OTHER_START.match(start) else NOT_AN_IMAGE


def _open(content: bytes, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(_tell_kind(content)) from error
    except DECODING_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error
    if image.width * image.height > max_pixels:
        raise UnreadableImageError(TOO_MANY_PIXELS, image.size)
    return image


def _decode_plain_jpeg(content: bytes, image: Image.Image, size: int) -> np.ndarray | None:
    """Decodes a sound, upright JPEG that needs no `_shrink`, to the same pixels as Pillow, faster.

    Args:
        content: the bytes of the file.
        image: the file as Pillow opened it, drafted.
        size: side of the square, in pixels.

    Returns:
        As in `Photo`, of the size of the draft; None where Pillow shall decode, or say why nobody can.
    """
    if image.format not in ("JPEG", "MPO") or not 8 <= max(image.size) < 2 * size or _orientation(image) > 1:
        return None
    width, height = image.size
    try:
        *shape, colours, _ = simplejpeg.decode_jpeg_header(content, height, width)
        if shape != [height, width] or colours not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(content, "RGBX", min_height=height, min_width=width)
    except (MemoryError, ValueError):
        return None


def _shrink(image: Image.Image, size: int) -> Image.Image:
    """Resizes a picture twice as large as the square or more to fit it: whole blocks first, then what remains."""
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
        return 1  # a damaged EXIF block says nothing about the direction
    return orientation if orientation in TURNS else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # convert() would clip to white
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGBA", image.size, "white")  # what lies under alpha must not show
        image = Image.alpha_composite(opaque, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Scales wide grey values to a byte: their own range decides whether they are 0-1, 0-255 or 0-65535."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(min=0)
    top = values.max(initial=0)
    full = next((full for full in (1.0, 255.0, 65535.0) if top <= full), top)
    return (values * (255 / full)).astype(np.uint8)
