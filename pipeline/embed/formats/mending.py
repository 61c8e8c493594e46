"""Mending: files whose pixels are all there although a decoder refuses them, and reasons of those that stay refused.

Only files that failed come here. A mended file has the same pixels as the intact one.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import simplejpeg

from pipeline.embed.formats.tiff import explain_tiff
from pipeline.embed.reasons import UNSUPPORTED

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_TIFF: Final = (b"II", b"MM")
_END_OF_IMAGE: Final = b"\xff\xd9"
_START_OF_SCAN: Final = 0xDA
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # start of frame; F7 is JPEG-LS
_DECODED_FRAMES: Final = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_PROGRESSIVE_FRAMES: Final = {0xC2, 0xCA}


def mend(content: bytes) -> bytes | None:
    """Repairs what costs no pixel: a JPEG's missing end, a PNG's ancillary chunks with a wrong checksum.

    Returns:
        The repaired file; None if there is nothing to repair.
    """
    if content.startswith(_PNG):
        mended = _drop_broken_chunks(content)
        return mended if mended != content else None
    if content.startswith(_JPEG) and not content.endswith(_END_OF_IMAGE):
        mended = (content[:-1] if content.endswith(b"\xff") else content) + _END_OF_IMAGE
        return mended if _has_all_pixels(mended) else None
    return None


def explain(content: bytes, reason: str) -> str:
    """The reason why a file was not decoded: unsupported if it is sound, else `reason`, truncated or damaged."""
    if content.startswith(_PNG):
        return UNSUPPORTED if content[12:16] == b"CgBI" else reason  # Apple's own format, inside of phone apps
    if content.startswith(_JPEG):
        return UNSUPPORTED if _is_rare_jpeg(content) else reason
    return explain_tiff(content) if content.startswith(_TIFF) else reason


def _drop_broken_chunks(content: bytes) -> bytes:
    kept = [_PNG]
    for name, chunk in _png_chunks(content):
        is_ancillary = bool(name[:1].islower())
        if not is_ancillary or zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            kept.append(chunk)
    return b"".join(kept)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the name and the bytes of each chunk; the last may be cut off."""
    start = len(_PNG)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        end = start + 12 + length
        yield content[start + 4 : start + 8], content[start:end]
        start = end


def _has_all_pixels(content: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(content, "GRAY")  # it raises at a warning, such as data that end too early
    except (MemoryError, ValueError):
        return False
    return _has_all_scans(content)


def _has_all_scans(content: bytes) -> bool:
    """Whether a progressive JPEG has the last bit of every coefficient; libjpeg does not warn of missing scans."""
    component_count, is_progressive = 0, False
    missing: set[tuple[int, int]] = set()
    for marker, segment in _jpeg_segments(content):
        if marker in _FRAMES and len(segment) >= 6:
            component_count, is_progressive = segment[5], marker in _PROGRESSIVE_FRAMES
            ids = segment[6 : 6 + 3 * component_count : 3]
            missing = {(component, band) for component in ids for band in range(64)}
        elif marker == _START_OF_SCAN and segment:
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count] if is_progressive else (0, 63, 0)
            if bits & 15 == 0:
                scanned = segment[1 : 1 + 2 * count : 2]
                missing -= {(component, band) for component in scanned for band in range(first, last + 1)}
    return not missing


def _is_rare_jpeg(content: bytes) -> bool:
    """Whether a JPEG is lossless, hierarchical, JPEG-LS, or has more than 8 bits per sample."""
    for marker, segment in _jpeg_segments(content):
        if marker in _FRAMES and segment:
            return marker not in _DECODED_FRAMES or segment[0] in (12, 16)
    return False


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the payload of each marker segment."""
    start = 2
    while (start := content.find(b"\xff", start)) >= 0 and start + 4 <= len(content):
        marker = content[start + 1]
        if marker in (0x00, 0x01, 0xFF, 0xD8) or 0xD0 <= marker <= 0xD7:
            start += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, start + 2)
        yield marker, content[start + 4 : start + 2 + length]
        start += 2 + length
