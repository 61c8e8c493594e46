"""Decoding: every kind of image keeps the colours a person sees, and every other file gets a reason."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from pipeline.embed.decode import DecodedImage, decode, load
from pipeline.embed.letterbox import PADDING
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.reasons import (
    DAMAGED,
    EMPTY,
    HEIC_NOT_INSTALLED,
    NOT_AN_IMAGE,
    TOO_MANY_PIXELS,
    TRUNCATED,
    UNSUPPORTED,
    UnreadableImageError,
)

Colour = tuple[int, int, int]

SIZE = 64
RED, GREEN, BLUE, YELLOW = (220, 30, 40), (30, 180, 60), (40, 50, 210), (230, 210, 30)
COLOURS = (RED, GREEN, BLUE, YELLOW)
BLACK, GREY, WHITE = (0, 0, 0), (128, 128, 128), (255, 255, 255)

STORED_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Transposition from the upright image to the stored one, by EXIF orientation."""


def four_fields(colours: tuple[Colour, ...] = COLOURS, width: int = 64, height: int = 32) -> Image.Image:
    """An image twice as wide as high, with one colour per quadrant: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", (width, height))
    for field, colour in enumerate(colours):
        left, top = field % 2 * (width // 2), field // 2 * (height // 2)
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def save(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def read_fields(decoded: DecodedImage) -> np.ndarray:
    """Colours in the centres of the quadrants of a decoded `four_fields`."""
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert decoded.pixels.dtype == np.uint8
    return decoded.pixels[np.ix_((24, 40), (16, 48))].reshape(4, 3).astype(int)


def assert_shows(content: bytes, colours: tuple[Colour, ...], tolerance: int = 2) -> DecodedImage:
    decoded = decode(content, SIZE)
    np.testing.assert_allclose(read_fields(decoded), colours, atol=tolerance)
    assert (decoded.width, decoded.height) == (64, 32)
    return decoded


def make_png(width: int, height: int, colour_type: int, bits: int, rows: bytes) -> bytes:
    """A PNG made by hand, of types and sizes that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def make_exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block made by hand from tag, type, count and value of every entry, valid or not."""
    body = b"".join(
        struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0") for tag, kind, count, value in entries
    )
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + body + bytes(4)


def try_decode(content: bytes) -> DecodedImage | str:
    """The decoded image or the reason; any other exception on untrusted bytes fails the test."""
    try:
        return decode(content, SIZE)
    except UnreadableImageError as error:
        return str(error)


def reason_of(content: bytes) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(content, SIZE)
    return str(caught.value)


# Colours and orientation


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_format_keeps_its_colours_and_reports_its_name(file_format: str) -> None:
    decoded = assert_shows(save(four_fields(), file_format), COLOURS, tolerance=6)
    assert decoded.format == file_format


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_grey_image_stays_grey(file_format: str) -> None:
    image = four_fields((BLACK, GREY, (200, 200, 200), WHITE)).convert("L")
    assert_shows(save(image, file_format), (BLACK, GREY, (200, 200, 200), WHITE), tolerance=3)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_a_cmyk_image_keeps_its_colours(file_format: str) -> None:
    assert_shows(save(four_fields().convert("CMYK"), file_format), COLOURS, tolerance=6)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparent_colours_become_white(file_format: str) -> None:
    image = four_fields().convert("RGBA")
    alpha = four_fields((WHITE, BLACK, GREY, WHITE)).convert("L")
    image.putalpha(alpha)
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    half_blue = tuple(round((value * 128 + 255 * 127) / 255) for value in BLUE)
    assert_shows(save(image, file_format, **options), (RED, WHITE, half_blue, YELLOW))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_transparent_grey_becomes_white(file_format: str) -> None:
    image = four_fields((BLACK, BLACK, GREY, GREY)).convert("LA")
    image.putalpha(four_fields((WHITE, BLACK, WHITE, BLACK)).convert("L"))
    assert_shows(save(image, file_format), (BLACK, WHITE, GREY, WHITE))


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_image_keeps_its_colours(file_format: str) -> None:
    image = four_fields().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert_shows(save(image, file_format), COLOURS)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(file_format: str) -> None:
    image = four_fields().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert_shows(save(image, file_format, transparency=image.getpixel((0, 0))), (WHITE, GREEN, BLUE, YELLOW))


@pytest.mark.parametrize(("mode", "transparent"), [("L", 128), ("RGB", GREY)])
def test_the_transparent_colour_of_an_image_without_palette_becomes_white(mode: str, transparent: object) -> None:
    image = four_fields((BLACK, GREY, WHITE, GREY)).convert(mode)
    assert_shows(save(image, "PNG", transparency=transparent), (BLACK, WHITE, WHITE, WHITE))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_a_one_bit_image_is_black_and_white(file_format: str) -> None:
    image = four_fields((BLACK, WHITE, WHITE, BLACK)).convert("1")
    assert_shows(save(image, file_format), (BLACK, WHITE, WHITE, BLACK))


@pytest.mark.parametrize(("file_format", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4")])
def test_wide_grey_is_scaled_and_not_clipped_to_white(file_format: str, dtype: str) -> None:
    grey = np.asarray(four_fields((BLACK, GREY, (64, 64, 64), WHITE)).convert("L"))
    image = Image.fromarray((grey.astype(np.uint32) * 257).astype(dtype))
    assert_shows(save(image, file_format), (BLACK, GREY, (64, 64, 64), WHITE))


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_per_channel_keep_their_colours(colour_type: int, channels: int) -> None:
    row = b"\0" + struct.pack(">H", 0x8000) * (channels - 1) + b"\xff\xff"  # the last one is blue, or alpha
    expected = {2: (128, 128, 255), 4: GREY, 6: GREY}[colour_type]
    decoded = decode(make_png(1, 1, colour_type, 16, row), 4)
    np.testing.assert_allclose(decoded.pixels, np.full((4, 4, 3), expected), atol=1)


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0, 4e6])
def test_a_float_image_is_scaled_by_its_own_range(full: float) -> None:
    grey = np.asarray(four_fields((BLACK, GREY, (64, 64, 64), WHITE)).convert("L"))
    image = Image.fromarray((grey / 255 * full).astype(np.float32))
    assert_shows(save(image, "TIFF"), (BLACK, GREY, (64, 64, 64), WHITE))


def test_negative_and_non_finite_values_are_black() -> None:
    values = np.asarray(four_fields((BLACK, BLACK, BLACK, WHITE)).convert("F")).copy()
    values[:16, :32], values[:16, 32:], values[16:, :32] = np.nan, -5, -np.inf
    assert_shows(save(Image.fromarray(values), "TIFF"), (BLACK, BLACK, BLACK, WHITE))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_frame_is_decoded(file_format: str) -> None:
    others = [four_fields((colour,) * 4) for colour in (WHITE, BLACK, BLUE)]
    content = save(four_fields(), file_format, save_all=True, append_images=others)
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 4
    assert_shows(content, COLOURS, tolerance=6)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_upright_image(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = four_fields().transpose(STORED_TURNS[orientation]) if orientation > 1 else four_fields()
    assert_shows(save(lying, file_format, exif=exif), COLOURS, tolerance=6)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param((0x010E, 11, 1, b"\x3f\x80\0\0"), id="a description that is a number"),
        pytest.param((0x8769, 4, 1, b"\xff\xff\xff\xff"), id="a block beyond the end"),
        pytest.param((0x011A, 1, 1, b"\1"), id="a resolution that is no fraction"),
        pytest.param((0x0132, 2, 2**31, b"\0\0\0\1"), id="a date of two gigabytes"),
    ],
)
def test_damage_elsewhere_in_exif_does_not_hide_the_orientation(entry: tuple[int, int, int, bytes]) -> None:
    exif = make_exif((0x0112, 3, 1, b"\0\6"), entry)
    assert_shows(save(four_fields().transpose(STORED_TURNS[6]), "JPEG", exif=exif), COLOURS, tolerance=6)


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0", id="nothing"),
        pytest.param(b"Exif\0\0" + bytes(range(200)), id="noise"),
        pytest.param(make_exif((0x0112, 3, 1, b"\0\6"))[:-9], id="cut"),
        pytest.param(make_exif((0x0112, 3, 1, b"\0\x09")), id="orientation nine"),
        pytest.param(make_exif((0x0112, 3, 1, b"\0\0")), id="orientation zero"),
        pytest.param(make_exif((0x0112, 2, 4, b"six")), id="orientation in words"),
    ],
)
def test_a_damaged_exif_block_is_ignored(exif: bytes) -> None:
    assert_shows(save(four_fields(), "JPEG", exif=exif), COLOURS, tolerance=6)


# Letterboxing


@pytest.mark.parametrize(("width", "height"), [(48, 24), (24, 48), (640, 320), (7, 3), (33, 32), (2, 1)])
def test_the_whole_image_keeps_its_aspect_ratio_and_the_rest_is_padding(width: int, height: int) -> None:
    pixels = decode(save(Image.new("RGB", (width, height), RED), "PNG"), SIZE).pixels
    is_padding = (pixels == PADDING).all(axis=2)
    shown = pixels[~is_padding]
    np.testing.assert_array_equal(shown, np.broadcast_to(RED, shown.shape))
    rows, columns = np.flatnonzero(~is_padding.all(axis=1)), np.flatnonzero(~is_padding.all(axis=0))
    scale = SIZE / max(width, height)
    assert (len(columns), len(rows)) == (round(width * scale), round(height * scale))
    assert abs((SIZE - 1 - columns[-1]) - columns[0]) <= 1
    assert abs((SIZE - 1 - rows[-1]) - rows[0]) <= 1


@pytest.mark.parametrize(("width", "height"), [(1, 5000), (5000, 1), (1, 1), (3, 30000), (30000, 3)])
def test_a_line_or_a_point_is_decoded(width: int, height: int) -> None:
    decoded = decode(save(Image.new("L", (width, height), 255), "PNG"), SIZE)
    assert (decoded.width, decoded.height) == (width, height)
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert (decoded.pixels == 255).all(axis=2).sum() == (SIZE if width != height else SIZE**2)


def test_a_tiny_image_is_enlarged() -> None:
    decoded = decode(save(four_fields(width=4, height=2), "PNG"), SIZE)
    np.testing.assert_allclose(decoded.pixels[18, 2], RED, atol=2)
    np.testing.assert_allclose(decoded.pixels[45, 61], YELLOW, atol=2)


@pytest.mark.parametrize("size", [1, 2, 7, 224, 299])
def test_the_square_has_the_requested_size(size: int) -> None:
    pixels = decode(save(four_fields(), "JPEG"), size).pixels
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_large_photo_decoded_at_a_fraction_looks_the_same_and_reports_its_full_size(orientation: int) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (15, 11, 3), np.uint8)
    photo = Image.fromarray(noise).resize((1101, 1503), Image.Resampling.BICUBIC).filter(ImageFilter.SHARPEN)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = photo.transpose(STORED_TURNS[orientation]) if orientation > 1 else photo
    scaled = decode(save(lying, "JPEG", exif=exif, quality=95), SIZE)
    full = decode(save(photo, "PNG"), SIZE)
    assert (scaled.width, scaled.height) == (full.width, full.height) == (1101, 1503)
    difference = np.abs(scaled.pixels.astype(int) - full.pixels)
    assert 0 < difference.mean() < 1.5
    assert difference.max() < 30


def make_photo(width: int, height: int) -> Image.Image:
    """An image with soft shapes, like a photo."""
    noise = np.random.default_rng(7).integers(0, 256, (11, 15, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("width", "height"), [(70, 60), (80, 30), (96, 96), (75, 127), (128, 100), (300, 200)])
def test_a_photo_of_any_size_looks_as_if_all_its_pixels_were_averaged(width: int, height: int) -> None:
    photo = make_photo(width, height)
    weighed = np.asarray(ImageOps.pad(photo, (SIZE, SIZE), Image.Resampling.HAMMING, PADDING)).astype(int)
    difference = np.abs(decode(save(photo, "PNG"), SIZE).pixels - weighed)
    assert difference.mean() < 3
    assert difference.max() < 30


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"subsampling": 0}, id="colour of every pixel"),
        pytest.param({"subsampling": 2}, id="colour of four pixels"),
        pytest.param({"progressive": True}, id="progressive"),
        pytest.param({"restart_marker_blocks": 2}, id="with restarts"),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(50, 40), (9, 5), (7, 7), (101, 67), (400, 301), (700, 30)])
def test_a_jpeg_has_the_same_pixels_as_with_pillow(
    mode: str, options: dict[str, object], width: int, height: int
) -> None:
    content = save(make_photo(width, height).convert(mode), "JPEG", **options)
    scale = SIZE / max(width, height)
    image = Image.open(io.BytesIO(content))
    image.draft(None, (round(width * scale), round(height * scale)))
    np.testing.assert_array_equal(load(content, SIZE).pixels[..., :3], np.asarray(image.convert("RGB")))


# Rejected files


def test_an_empty_file_is_rejected_as_empty() -> None:
    assert reason_of(b"") == EMPTY


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!DOCTYPE html><html><body>404 Not Found</body></html>", id="html"),
        pytest.param("Überraschung, kein Bild\n".encode() * 50, id="text"),
        pytest.param(b'{"error": "quota exceeded"}', id="json"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", id="pdf"),
        pytest.param(b"PK\3\4" + bytes(100), id="zip"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), id="sound"),
        pytest.param(b"\0\0\0\x18ftypmp42" + bytes(100), id="video"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(bytes(10_000), id="zeros"),
        pytest.param(random.Random(1).randbytes(10_000), id="noise"),
    ],
)
def test_other_files_are_rejected_as_not_an_image(content: bytes) -> None:
    assert reason_of(content) == NOT_AN_IMAGE


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "PCX", "DDS", "JPEG2000", "ICNS", "SGI"])
def test_a_rare_format_that_pillow_could_open_is_rejected_as_unsupported(file_format: str) -> None:
    assert reason_of(save(Image.new("RGB", (32, 32), RED), file_format)) == UNSUPPORTED


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\x0a" + bytes(100), id="JPEG XL"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>', id="svg"),
        pytest.param(b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(800), id="psd"),
        pytest.param(b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', id="drawing"),
    ],
)
def test_an_image_of_an_unknown_format_is_rejected_as_unsupported(content: bytes) -> None:
    assert reason_of(content) == UNSUPPORTED


def test_a_heic_photo_is_rejected_with_the_name_of_the_extra_that_decodes_it() -> None:
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert reason_of(content) == HEIC_NOT_INSTALLED == "unsupported format: HEIC, which needs the extra heic"


@pytest.mark.parametrize("file_format", ["TGA", "PDF", "EPS"])
def test_formats_that_are_not_recognised_are_rejected_as_not_an_image(file_format: str) -> None:
    assert reason_of(save(Image.new("RGB", (32, 32), RED), file_format)) == NOT_AN_IMAGE


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "MPO"])
def test_an_image_cut_anywhere_is_truncated_or_damaged_or_still_decoded(file_format: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    content = save(Image.fromarray(noise), file_format)
    first_words = 16  # fewer bytes do not identify the format
    for length in range(first_words, len(content), max(1, len(content) // 60)):
        decoded = try_decode(content[:length])
        if isinstance(decoded, str):
            assert decoded in (TRUNCATED, DAMAGED), f"cut at {length} of {len(content)}"
        else:
            assert (decoded.width, decoded.height) == (50, 40)
            assert length > len(content) / 2, "half of the pixels are missing without an error"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_half_a_photo_is_rejected_as_truncated(file_format: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), np.uint8)
    content = save(Image.fromarray(noise), file_format)
    assert reason_of(content[: len(content) // 2]) == TRUNCATED


def make_large_gif() -> bytes:
    """A GIF of one pixel with a frame of 65,535 by 65,535."""
    content = bytearray(save(Image.new("L", (1, 1)), "GIF"))
    frame = content.rindex(b"\x2c\0\0\0\0\1\0\1\0")
    content[frame + 5 : frame + 9] = b"\xff" * 4
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(make_png(20_000, 20_000, 0, 1, bytes(2501 * 20_000)), id="400 million points in 50 kB"),
        pytest.param(make_png(DEFAULT_LIMITS.pixels // 1000 + 1, 1000, 2, 8, b""), id="a little too many"),
        pytest.param(make_png(2**31 - 1, 1, 0, 8, b""), id="a line around the world"),
        pytest.param(make_large_gif(), id="a frame beyond its screen"),
    ],
)
def test_too_many_pixels_are_rejected_before_memory_is_allocated(content: bytes) -> None:
    assert len(content) < 100_000
    before = Image.core.get_stats()
    assert reason_of(content) == TOO_MANY_PIXELS
    after = Image.core.get_stats()
    assert after["allocated_blocks"] + after["reused_blocks"] == before["allocated_blocks"] + before["reused_blocks"]


def test_the_largest_allowed_image_is_decoded() -> None:
    width = DEFAULT_LIMITS.pixels // 1000
    decoded = decode(make_png(width, 1000, 0, 1, bytes((1 + -(-width // 8)) * 1000)), SIZE)
    assert (decoded.width, decoded.height) == (width, 1000)


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 10), (10, 0)])
def test_an_image_without_pixels_is_damaged(width: int, height: int) -> None:
    bitmap = bytearray(save(Image.new("RGB", (10, 10)), "BMP"))
    bitmap[18:26] = struct.pack("<ii", width, height)
    assert reason_of(bytes(bitmap)) == DAMAGED
    assert reason_of(make_png(width, height, 2, 8, b"")) == DAMAGED


def mutate(content: bytes, random_: random.Random) -> bytes:
    """Changes, deletes, duplicates or replaces a few bytes."""
    mutated = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 5, 30))):
        place, length = random_.randrange(len(mutated)), random_.randint(1, 12)
        match random_.randrange(5):
            case 0:
                mutated[place] ^= 1 << random_.randrange(8)
            case 1:
                mutated[place : place + length] = random_.randbytes(length)
            case 2:
                del mutated[place : place + length]
            case 3:
                mutated[place:place] = mutated[place : place + length]
            case 4:
                mutated[place : place + 4] = random_.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"))
    return bytes(mutated) or b"\0"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "MPO"])
def test_a_mutated_file_is_decoded_or_rejected_the_same_way_twice(file_format: str) -> None:
    random_ = random.Random(file_format)
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    more = [four_fields(width=40, height=30)]
    frames = {"save_all": True, "append_images": more} if file_format not in ("JPEG", "BMP") else {}
    contents = [save(noise, file_format, exif=exif), save(noise.convert("L").convert("RGB"), file_format, **frames)]
    outcomes = set()
    for content in contents * 40:
        mutated = mutate(content, random_)
        answer = try_decode(mutated)
        again = try_decode(mutated)
        if isinstance(answer, str):
            assert answer == again
            assert answer in (NOT_AN_IMAGE, TRUNCATED, DAMAGED, UNSUPPORTED, TOO_MANY_PIXELS)
            outcomes.add(answer)
        else:
            assert isinstance(again, DecodedImage)
            np.testing.assert_array_equal(answer.pixels, again.pixels)
            outcomes.add("decoded")
    assert len(outcomes) > 1, "the mutations change nothing"


def test_a_worker_without_memory_reports_it_instead_of_blaming_the_image(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    Image.new("RGB", (9000, 9000), "red").save(file)
    code = f"""
import resource
from pathlib import Path
from pipeline.embed.decode import decode
from pipeline.embed.reasons import UnreadableImageError
content = Path({str(file)!r}).read_bytes()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26,) * 2)
try:
    decode(content, 224)
except UnreadableImageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "out of memory"
