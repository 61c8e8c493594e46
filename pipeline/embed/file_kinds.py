"""File kinds: which image formats are decoded, which are recognised and refused, and the version of the decoder.

To add a format, mark its row as decoded and raise the number in `DECODER`. If Pillow needs a package for it, add that
to `DECODING_PACKAGES` and `pyproject.toml`.
"""

import re
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final, NamedTuple

from pipeline.embed.reasons import DAMAGED, HEIC_NOT_INSTALLED, NOT_AN_IMAGE, UNSUPPORTED

DECODING_PACKAGES: Final = ("pillow", "simplejpeg", "opencv-python-headless")  # their versions affect the pixels
DECODER: Final = ", ".join(["5", *(f"{package} {version(package)}" for package in DECODING_PACKAGES)])
"""Identity of the decoder. Raise the number with every change that yields other pixels or reasons, here or in another
module of this package: features of another decoder are computed again (`feature_cache.py`)."""


HAS_HEIF: Final = find_spec("pillow_heif") is not None
"""Whether the optional package for HEIC is installed; `decode.py` registers it."""


class FileKind(NamedTuple):
    """An image format: Pillow's name for it, if any, and a regular expression that matches its first bytes."""

    name: str
    signature: bytes
    is_decoded: bool = False


FILE_KINDS: Final = (
    FileKind("JPEG", rb"\xff\xd8\xff", is_decoded=True),
    FileKind("PNG", rb"\x89PNG\r\n\x1a\n", is_decoded=True),
    FileKind("GIF", rb"GIF8[79]a", is_decoded=True),
    FileKind("WEBP", rb"RIFF....WEBP", is_decoded=True),
    FileKind("BMP", rb"BM....\0\0\0\0", is_decoded=True),
    FileKind("TIFF", rb"II[*+]\0|MM\0[*+]", is_decoded=True),
    FileKind("AVIF", rb"....ftyp(?:avi[fs]|m[is]f1.{4}(?:.{4}){0,16}?avi[fs])", is_decoded=True),
    FileKind("HEIF", rb"....ftyp(?:hei[cfmsx]|hev[cmsx]|mi[fa]1|msf1)", is_decoded=HAS_HEIF),
    FileKind("JPEG XL", rb"\0{3}\x0cJXL |\xff\x0a"),
    FileKind("JPEG2000", rb"\0{3}\x0cjP  |\xff\x4f\xff\x51"),
    FileKind("PSD", rb"8BPS"),
    FileKind("DDS", rb"DDS "),
    FileKind("ICO", rb"\0\0\x01\0[^\0]\0"),
    FileKind("PPM", rb"P[1-7]\s"),
    FileKind("ICNS", rb"icns"),
    FileKind("XCF", rb"gimp xcf"),
    FileKind("SGI", rb"\x01\xda[\0\x01][\x01\x02]"),
    FileKind("PCX", rb"\x0a[\0-\5]\x01[\x01\2\4\x08]"),
    FileKind("QOI", rb"qoif"),
    FileKind("SVG", rb"(?:<\?xml[^>]*>\s*)?<svg"),
)

DECODED_FORMATS: Final = tuple(kind.name for kind in FILE_KINDS if kind.is_decoded)


def _any_signature(is_decoded: bool) -> re.Pattern[bytes]:
    return re.compile(b"|".join(kind.signature for kind in FILE_KINDS if kind.is_decoded == is_decoded), re.DOTALL)


_DECODED: Final = _any_signature(is_decoded=True)
_HEIF: Final = re.compile(next(kind.signature for kind in FILE_KINDS if kind.name == "HEIF"), re.DOTALL)
_REFUSED: Final = _any_signature(is_decoded=False)


def explain_unopened(content: bytes) -> str:
    """The reason why no parser opened a file, from its first bytes."""
    start = content[:1024]
    if _DECODED.match(start):
        return DAMAGED
    if _HEIF.match(start):
        return HEIC_NOT_INSTALLED
    return UNSUPPORTED if _REFUSED.match(start) else NOT_AN_IMAGE
