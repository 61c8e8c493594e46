"""Contact sheets: many small pictures with a caption each, as one JPEG that fits on an asset's page."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from pyspark.sql import DataFrame, Row

from pipeline.reports.palette import INK
from pipeline.reports.thumbnails import draw_thumbnails, read_contents, square_thumbnail
from pipeline.storage.counting import Day

TILE: Final = 112
CAPTION: Final = 30
GAP: Final = 6
COLUMNS: Final = 4
"""The value column of an asset's page shows about 490 pixels; wider pictures are cut off."""

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
    colour: str = INK


def draw_contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Draws the tiles in rows of four, and returns a JPEG of at most 478 pixels width."""
    rows = -(-len(tiles) // COLUMNS)
    width, height = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, tile in enumerate(tiles):
        left, top = GAP + index % COLUMNS * width, GAP + index // COLUMNS * height
        sheet.paste(square_thumbnail(tile.content, TILE), (left, top))
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


def fit_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A stranger's text in one line of so many pixels; what does not fit is cut off, and what cannot be seen told."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
