"""TIFF: the directory of a file that holds its photo, and sample layouts that Pillow alone reads wrongly.

All files are read by libtiff: Pillow's own reader answers planar 16-bit samples with noise.
"""

import io
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base

from pipeline.embed.reasons import DAMAGED, TRUNCATED, UNSUPPORTED, UnreadableImageError

TiffImagePlugin.READ_LIBTIFF = True

SAMPLE_FORMAT: Final = 339
MAX_SAMPLE_VALUE: Final = 281
SIGNED: Final = 2
WHITE_IS_ZERO: Final = 0
_PLANAR: Final = 2
_REDUCED: Final = 1  # bit of NewSubfileType, and what a copy in lower resolution adds to it
_REDUCED_BEFORE_1992: Final = 2  # value of SubfileType
_NATIVE: Final = {"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;32S": "I;32NS", "I;16BS": "I;16NS", "I;16S": "I;16NS"}
"""Pillow's name of a layout, and of the same in the byte order of this machine, which libtiff always returns."""
_MAX_DIRECTORIES: Final = 32
_KNOWN_VALUES: Final = {
    Base.BitsPerSample: {*range(1, 33), 64},
    Base.SampleFormat: set(range(1, 7)),
    Base.PhotometricInterpretation: {*range(11), 32803, 32844, 32845, 34892, 51177},
    Base.Compression: {*range(1, 11), 32766, 32771, 32773, 32809, 32946, 34661, 34676, 34677, 34712, 34887}
    | {34892, 34925, 34927, 50000, 50001, 50002, 52546},
}
"""Values that the standard or libtiff names, by tag; any other is damage."""
_PLACES: Final = (
    (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS),
    (TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.TILEBYTECOUNTS),
)
_DECODED_COMPRESSIONS: Final = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34925, 50000}


def open_photo(image: TiffImagePlugin.TiffImageFile) -> TiffImagePlugin.TiffImageFile:
    """Selects the first directory in full resolution, and corrects how its samples are unpacked.

    Cameras put a thumbnail first. Its photo is another directory, or raw data that is not decoded.

    Args:
        image: a TIFF at its first directory.

    Raises:
        UnreadableImageError: if only reduced images can be decoded, or the samples have a layout that is read wrongly.
    """
    if _is_reduced(image):
        image = _find_full_resolution(image)
    tags = tags_of(image)
    bits = tags.get(Base.BitsPerSample, (1,))
    is_signed = SIGNED in tags.get(SAMPLE_FORMAT, ())
    is_planar_with_alpha = is_planar(image) and image.mode in ("LA", "La", "PA")
    if (is_signed and max(bits) <= 8) or is_planar_with_alpha:
        raise UnreadableImageError(UNSUPPORTED)
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]
    return image


def is_planar(image: Image.Image) -> bool:
    """Whether the samples of each colour lie in a plane of their own."""
    return tags_of(image).get(Base.PlanarConfiguration) == _PLANAR


def tags_of(image: Image.Image) -> Mapping[int, Any]:
    """The tags of the current directory, by number; none for another format."""
    return getattr(image, "tag_v2", {})


def explain_tiff(content: bytes) -> str:
    """The reason why a TIFF was not decoded: its layout is legal but not decoded, its pixels are cut off, or damage."""
    if content.startswith(b"MM\0+"):
        return UNSUPPORTED  # Pillow reads no big-endian BigTIFF
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(content[:16] if content[2] == 43 else content[:8])
        stream = io.BytesIO(content)
        stream.seek(directory.next)
        directory.load(stream)
        values = {tag: _as_tuple(directory.get(tag, 1)) for tag in _KNOWN_VALUES}
        starts, lengths = (_as_tuple(directory.get(strip, directory.get(tile, ()))) for strip, tile in _PLACES)
        if not starts or not all(set(found) <= _KNOWN_VALUES[tag] for tag, found in values.items()):
            return DAMAGED
        is_decoded = set(values[Base.Compression]) <= _DECODED_COMPRESSIONS
        if not is_decoded or _is_refused_by_pillow(content):
            return UNSUPPORTED
        ends = map(sum, zip(starts, lengths, strict=True))
        return TRUNCATED if max(ends, default=0) > len(content) else DAMAGED
    except Exception:  # noqa: BLE001 untrusted bytes that failed before
        return DAMAGED


def _is_refused_by_pillow(content: bytes) -> bool:
    try:
        TiffImagePlugin.TiffImageFile(io.BytesIO(content))
    except SyntaxError:  # no mode for this layout
        return True
    except Exception:  # noqa: BLE001 any other error is damage
        return False
    return False


def _find_full_resolution(image: TiffImagePlugin.TiffImageFile) -> TiffImagePlugin.TiffImageFile:
    for number in range(1, _MAX_DIRECTORIES):
        try:
            image.seek(number)
        except EOFError:
            break
        except (SyntaxError, KeyError):  # a directory of raw data
            continue
        if not _is_reduced(image):
            return image
    raise UnreadableImageError(UNSUPPORTED)


def _is_reduced(image: Image.Image) -> bool:
    tags = tags_of(image)
    kind, old_kind = tags.get(Base.NewSubfileType, 0), tags.get(Base.SubfileType, 0)
    return bool(isinstance(kind, int) and kind & _REDUCED) or old_kind == _REDUCED_BEFORE_1992


def _as_tuple(values: object) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)
