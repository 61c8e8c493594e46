"""Mending: files whose pixels are all there are decoded although a decoder refuses them."""

import io
import struct
import zlib

import numpy as np
import pytest
from paintings import paint
from PIL import Image
from raw_files import png_chunk

from pipeline.embed.decode import load
from pipeline.embed.reasons import DAMAGED, TRUNCATED, UNSUPPORTED, UnreadableImageError

SIZE = 64


def save(file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    paint(3).resize((100, 80)).save(file, file_format, **options)
    return file.getvalue()


def insert_chunk(png: bytes, chunk: bytes) -> bytes:
    """Puts a chunk before the pixels."""
    start = png.index(b"IDAT") - 4
    return png[:start] + chunk + png[start:]


def reason_of(content: bytes) -> str:
    with pytest.raises(UnreadableImageError) as raised:
        load(content, SIZE)
    return str(raised.value)


def assert_same(content: bytes, intact: bytes) -> None:
    assert np.array_equal(load(content, SIZE).pixels, load(intact, SIZE).pixels)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_mark_has_all_its_pixels(options: dict[str, object], cut: int) -> None:
    intact = save("JPEG", **options)
    assert np.abs(load(intact[:-cut], SIZE).pixels.astype(int) - load(intact, SIZE).pixels).mean() < 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_pixels_stays_truncated(options: dict[str, object]) -> None:
    intact = save("JPEG", **options)
    for cut in (40, len(intact) // 10, len(intact) // 3):
        assert reason_of(intact[:-cut]) == TRUNCATED


def test_a_progressive_jpeg_that_lacks_a_scan_stays_truncated() -> None:
    intact = save("JPEG", progressive=True)
    assert reason_of(intact[: intact.rindex(b"\xff\xda")]) == TRUNCATED


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"tIME", b"eXIf", b"prIv"])
def test_a_png_with_a_wrong_checksum_of_a_chunk_without_pixels_is_decoded(name: bytes) -> None:
    intact = save("PNG")
    broken = bytearray(png_chunk(name, b"a comment\0\0" + zlib.compress(b"hello")))
    broken[-1] ^= 1
    assert_same(insert_chunk(intact, bytes(broken)), intact)


def test_a_png_with_a_wrong_checksum_of_its_pixels_is_damaged() -> None:
    broken = bytearray(save("PNG"))
    broken[broken.index(b"IDAT") + 40] ^= 255
    assert reason_of(bytes(broken)) == DAMAGED


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_png_with_two_megabytes_of_text_or_profile_is_decoded(name: bytes) -> None:
    data = {
        b"zTXt": b"a\0\0" + zlib.compress(b"x" * 2**21),
        b"iTXt": b"a\0\1\0\0\0" + zlib.compress(b"x" * 2**21),
        b"iCCP": b"a\0\0" + zlib.compress(b"x" * 2**21),
    }[name]
    intact = save("PNG")
    assert_same(insert_chunk(intact, png_chunk(name, data)), intact)


def test_a_text_that_unpacks_to_a_gigabyte_is_rejected() -> None:
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(2**24)) for _ in range(64)) + bomb.flush()
    assert reason_of(insert_chunk(save("PNG"), png_chunk(b"zTXt", b"a\0\0" + packed))) == DAMAGED


def test_the_png_of_a_phone_application_is_unsupported() -> None:
    png = save("PNG")
    bare_deflate = png_chunk(b"IDAT", zlib.compress(bytes(100 * 80 * 4))[2:-4])
    packed = png[:8] + png_chunk(b"CgBI", b"\x50\0\x20\2") + png[8:33] + bare_deflate + png_chunk(b"IEND", b"")
    assert reason_of(packed) == UNSUPPORTED


@pytest.mark.parametrize(
    ("marker", "bits"), [(0xC1, 12), (0xC3, 8), (0xF7, 8), (0xC5, 8), (0xCB, 8)], ids=lambda value: f"{value:x}"
)
def test_a_rare_kind_of_jpeg_is_unsupported_rather_than_damaged(marker: int, bits: int) -> None:
    jpeg = bytearray(save("JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 1], jpeg[frame + 4] = marker, bits
    assert reason_of(bytes(jpeg)) == UNSUPPORTED


@pytest.mark.parametrize("sizes", [(2**31, 1), (2**31 - 1, 2**31 - 1), (2**32 - 1, 2**32 - 1)])
def test_a_side_beyond_all_columns_is_too_many_pixels(sizes: tuple[int, int]) -> None:
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *sizes, 8, 2, 0, 0, 0))
    content += png_chunk(b"IDAT", b"")
    with pytest.raises(UnreadableImageError, match="too many pixels") as raised:
        load(content, SIZE)
    assert raised.value.shape == (sizes if max(sizes) < 2**31 else (None, None))


def test_a_mended_image_keeps_its_size() -> None:
    loaded = load(save("JPEG")[:-2], SIZE)
    assert (loaded.width, loaded.height, loaded.format) == (100, 80, "JPEG")


def test_an_empty_image_of_any_mode_is_not_mended() -> None:
    with pytest.raises(UnreadableImageError):
        load(Image.new("L", (1, 1)).tobytes(), SIZE)
