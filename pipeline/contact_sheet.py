"""Contact sheets: many small pictures with a caption each, as one JPEG that fits on an asset's page."""

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.letterbox import fit
from pipeline.preprocess import UnreadablePictureError, decode
from pipeline.report import Day

TILE: Final = 112
CAPTION: Final = 30
GAP: Final = 6
COLUMNS: Final = 4
"""The value column of an asset's page shows about 490 pixels; wider pictures are cut off."""

PLAIN: Final = "#334155"
GOOD: Final = "#15803d"
DOUBTFUL: Final = "#b45309"

NO_BYTES: Final = b""
"""Of a picture whose day was emptied: its tile is empty too."""


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        content: the bytes of its file; what cannot be decoded is an empty tile.
        caption: two lines at most.
        colour: of the caption.
    """

    content: bytes
    caption: str
    colour: str = PLAIN


def draw_contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Draws the tiles in rows of four, and returns a JPEG of at most 478 pixels width."""
    rows = -(-len(tiles) // COLUMNS)
    width, height = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, tile in enumerate(tiles):
        left, top = GAP + index % COLUMNS * width, GAP + index // COLUMNS * height
        sheet.paste(_thumbnail(tile.content), (left, top))
        for line, text in enumerate(tile.caption.split("\n")[:2]):
            draw.text((left, top + TILE + 2 + 13 * line), fit_text(text, font, TILE), fill=tile.colour, font=font)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


def read_tiles(images: DataFrame, chosen: Sequence[Row], caption: Callable[[Row], tuple[str, str]]) -> list[Tile]:
    """Reads the bytes of a few chosen pictures, in their order.

    Args:
        images: with `image_id` and `content`.
        chosen: rows with `image_id`; a few dozen at most.
        caption: from a chosen row to its text and colour.
    """
    contents = read_contents(images, [row["image_id"] for row in chosen])
    return [Tile(contents.get(row["image_id"], NO_BYTES), *caption(row)) for row in chosen]


def read_tiles_by_day(
    images: DataFrame, chosen: Mapping[Day, Sequence[Row]], caption: Callable[[Row], tuple[str, str]]
) -> dict[Day, list[Tile]]:
    """As `read_tiles`, of many days in one reading; of every picture the driver keeps what a tile needs."""
    small = draw_thumbnails(images, {row["image_id"] for rows in chosen.values() for row in rows}, TILE)
    return {
        day: [Tile(small.get(row["image_id"], NO_BYTES), *caption(row)) for row in rows] for day, rows in chosen.items()
    }


def read_contents(images: DataFrame, image_ids: Collection[str]) -> dict[str, bytes]:
    """Reads the bytes of a few pictures that have them, by `image_id`; a few dozen at most."""
    if not image_ids:
        return {}
    return {row["image_id"]: bytes(row["content"]) for row in _select(images, image_ids).toLocalIterator()}


def draw_thumbnails(images: DataFrame, image_ids: Collection[str], side: int) -> dict[str, bytes]:
    """As `draw_thumbnail`, of thousands of pictures that have bytes, by `image_id`; the workers draw them."""

    def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            small = [draw_thumbnail(content.as_py(), side) for content in batch["content"]]
            yield pa.RecordBatch.from_arrays([batch["image_id"], pa.array(small, pa.binary())], ["image_id", "small"])

    if not image_ids:
        return {}
    drawn = _select(images, image_ids).mapInArrow(draw, "image_id string, small binary").collect()
    return {row["image_id"]: bytes(row["small"]) for row in drawn}


def _select(images: DataFrame, image_ids: Collection[str]) -> DataFrame:
    """Rows of some pictures, of one at least: Spark Connect makes no frame of nothing."""
    wanted = images.sparkSession.createDataFrame(pa.table({"image_id": pa.array(image_ids, pa.string())}))
    with_bytes = images.where(F.col("content").isNotNull()).select("image_id", "content")
    return with_bytes.join(F.broadcast(wanted), "image_id", "left_semi")  # `isin` makes an object of the JVM of each id


def draw_thumbnail(content: bytes, side: int) -> bytes:
    """A picture no larger than a square of this side, as a JPEG; what cannot be decoded is an empty square."""
    file = io.BytesIO()
    try:
        picture = decode(content, side)
    except UnreadablePictureError:
        _empty(side).save(file, "JPEG")
        return file.getvalue()
    width, height = fit(picture.width, picture.height, side)
    left, top = (side - width) // 2, (side - height) // 2
    Image.fromarray(picture.pixels[top : top + height, left : left + width]).save(file, "JPEG", quality=75)
    return file.getvalue()


def _thumbnail(content: bytes) -> Image.Image:
    try:
        return Image.fromarray(decode(content, TILE).pixels)
    except UnreadablePictureError:
        return _empty(TILE)


def _empty(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), "#e2e8f0")


def fit_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A stranger's text in one line of so many pixels; what does not fit is cut off, and what cannot be seen told."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
