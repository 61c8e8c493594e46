"""Raw files: TIFF and PNG files of any sample layout, written by hand because no library writes them all."""

import itertools
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
TOGETHER, PLANAR = 1, 2
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2

LONG_TYPES: Final = {"classic": ("I", 4), "big": ("Q", 16)}


def write_tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int = BLACK_IS_ZERO,
    sample_format: int = UNSIGNED,
    planar: int = TOGETHER,
    order: str = "<",
    compression: int = NONE,
    extra: Sequence[int] = (),
    big: bool = False,
    tags: Mapping[int, tuple[int, ...]] | None = None,
) -> bytes:
    """Writes a TIFF of one directory.

    Args:
        samples: sample values, `[rows, columns, samples per pixel]`.
        bits: bits per sample.
        photometric: how the samples mean a colour.
        sample_format: unsigned, signed or float.
        planar: whether the samples of a pixel lie together.
        order: `<` for little-endian, `>` for big-endian.
        compression: compression scheme.
        extra: meaning of the samples beyond the colour.
        big: whether to write a BigTIFF.
        tags: further tags of the type long, or replacements, by number.
    """
    planes = np.moveaxis(samples, -1, 0)[..., None] if planar == PLANAR else samples[None]
    strips = [_compress(_pack(plane, bits, sample_format, order), compression) for plane in planes]
    height, width, count = samples.shape
    start = 16 if big else 8
    offsets = [start + length for length in itertools.accumulate((len(strip) for strip in strips), initial=0)]
    entries: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (bits,) * count,
        259: (compression,),
        262: (photometric,),
        273: tuple(offsets[:-1]),
        277: (count,),
        278: (height,),
        279: tuple(map(len, strips)),
        284: (planar,),
        339: (sample_format,) * count,
    }
    entries |= {338: tuple(extra)} if extra else {}
    entries |= tags or {}
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    directory = start + len(body)
    if big:
        header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, directory)
    else:
        header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, directory)
    return header + body + _directory(entries, directory, order, big)


def _directory(entries: Mapping[int, tuple[int, ...]], offset: int, order: str, big: bool) -> bytes:
    """Packs a directory with all values as longs, those of more than one value behind it."""
    count_code, inline, pointer = ("Q", 8, "Q") if big else ("I", 4, "I")
    head = struct.pack(order + ("Q" if big else "H"), len(entries))
    entry_length = 4 + 2 * inline
    behind = offset + len(head) + len(entries) * entry_length + inline
    table, tail = b"", b""
    for tag, values in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}I", *values)
        if len(data) > inline:
            field, tail = struct.pack(order + pointer, behind + len(tail)), tail + data
        else:
            field = data.ljust(inline, b"\0")
        table += struct.pack(order + "HH" + count_code, tag, 4, len(values)) + field
    return head + table + struct.pack(order + pointer, 0) + tail


def _pack(samples: np.ndarray, bits: int, sample_format: int, order: str) -> bytes:
    """Packs rows of samples; each row begins at a byte."""
    if bits % 8 == 0 and bits != 24:
        kind = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[sample_format]
        return samples.astype(f"{order}{kind}{bits // 8}").tobytes()
    rows = samples.reshape(len(samples), -1).astype(np.uint64)
    if bits == 24:
        bytes_of = rows.astype(order + "u4").view(np.uint8).reshape(*rows.shape, 4)
        return (bytes_of[..., :3] if order == "<" else bytes_of[..., 1:]).tobytes()
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    digits = (rows[..., None] >> shifts & np.uint64(1)).astype(np.uint8)
    return np.packbits(digits.reshape(len(rows), -1), axis=1).tobytes()


def _compress(data: bytes, compression: int) -> bytes:
    if compression == DEFLATE:
        return zlib.compress(data)
    if compression == PACKBITS:
        return b"".join(bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] for i in range(0, len(data), 128))
    if compression == LZW:
        return _compress_lzw(data)
    return data


def _compress_lzw(data: bytes) -> bytes:
    """LZW without compression: the table is cleared before a code needs a tenth bit."""
    codes: list[int] = []
    for start in range(0, len(data), 250):
        codes += [256, *data[start : start + 250]]
    digits = "".join(f"{code:09b}" for code in [*codes, 257])
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def write_png(samples: np.ndarray, bits: int, colour: int, chunks: Mapping[bytes, bytes] | None = None) -> bytes:
    """Writes a PNG of a colour type, with chunks before the pixels by name."""
    height, width = samples.shape[:2]
    rows = _pack(samples, bits, UNSIGNED, ">")
    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)), *(chunks or {}).items()]
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, *zip(*parts, strict=True)))


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Packs a chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
