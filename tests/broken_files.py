"""Broken files: real photos that are cut, altered, inflated or mislabelled, with a fixed seed."""

import io
import random
import struct
import zlib
from collections.abc import Sequence

from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
PER_FORMAT = 20


def break_files(photos: Sequence[bytes]) -> dict[str, bytes]:
    """Files by name: truncated and altered ones of every format, and a few hostile ones."""
    chance = random.Random(20261125)
    files: dict[str, bytes] = {}
    for file_format in FORMATS:
        for number in range(PER_FORMAT):
            photo = save(photos[number % len(photos)], file_format)
            files[f"cut {number}.{file_format.lower()}"] = photo[: chance.randrange(len(photo))]
            files[f"corrupt {number}.{file_format.lower()}"] = corrupt(photo, chance)
    return files | HOSTILE


def save(photo: bytes, file_format: str) -> bytes:
    output = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(output, file_format)
    return output.getvalue()


def corrupt(content: bytes, chance: random.Random) -> bytes:
    corrupted = bytearray(content)
    for _ in range(chance.randint(1, 30)):
        corrupted[chance.randrange(len(corrupted))] = chance.randrange(256)
    return bytes(corrupted)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def tiff_header(width: int, height: int) -> bytes:
    entries = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, width),
    ]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)


ROWS = zlib.compress(bytes(2**24))
HOSTILE: dict[str, bytes] = {
    "a bomb of pixels.png": png(60_000, 60_000, (b"IDAT", ROWS)),
    "a bomb at the limit.png": png(9_459, 9_459, (b"IDAT", ROWS)),
    "a bomb of text.png": png(8, 8, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**28))), (b"IDAT", ROWS)),
    "an image without pixels.png": png(0, 0),
    "a line around the world.png": png(2**31, 1, (b"IDAT", b"")),
    "a line around two worlds.tif": tiff_header(2**31, 1),
    "an error page.jpg": b"<html><body>503 Service Unavailable</body></html>",
    "a program.jpg": b"MZ" + bytes(512),
    "an archive.png": b"PK\3\4" + bytes(512),
    "nothing.jpg": b"",
    "zeros.jpg": bytes(4096),
    "a photo of a telephone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(512),
}
