"""Contact sheets: captioned thumbnails as one JPEG that fits an asset's page."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont
from pyspark.sql import Row

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.reports.palette import INK, PALE
from pipeline.reports.thumbnails import draw_thumbnails
from pipeline.storage.counting import Day
from pipeline.storage.stored_rows import StoredRows

TILE: Final = 112  # pixels of a thumbnail's side
CAPTION: Final = 30  # pixels below a thumbnail
GAP: Final = 6  # pixels between tiles
COLUMNS: Final = 4  # the value column of an asset's page cuts off images wider than about 490 pixels
NO_THUMBNAIL: Final = b""  # of an image that is purged or cannot be decoded; its tile is empty


@dataclass(frozen=True)
class Tile:
    """One image of a sheet."""

    thumbnail: bytes  # from `draw_thumbnails`
    caption: str  # one or two lines
    colour: str = INK  # of the caption


def draw_contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """Draws the tiles in rows of four; returns a JPEG 478 pixels wide."""
    rows = -(-len(tiles) // COLUMNS)
    width, height = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, tile in enumerate(tiles):
        left, top = GAP + index % COLUMNS * width, GAP + index // COLUMNS * height
        sheet.paste(PALE, (left, top, left + TILE, top + TILE))
        if tile.thumbnail:
            image = Image.open(io.BytesIO(tile.thumbnail))
            sheet.paste(image, (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2))
        for line, text in enumerate(tile.caption.split("\n")[:2]):
            draw.text((left, top + TILE + 2 + 13 * line), fit_text(text, font, TILE), fill=tile.colour, font=font)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


ImageRow = Row | Mapping[str, Any]
"""A row with `image_id`."""

Caption = Callable[[Any], tuple[str, str]]
"""Returns the text below the image of an `ImageRow` and its colour."""


def draw_tiles(
    images: StoredRows, chosen: Sequence[ImageRow], caption: Caption, limits: Limits = DEFAULT_LIMITS
) -> list[Tile]:
    """Makes a tile of each chosen image, in order."""
    return draw_tiles_by_day(images, {None: chosen}, caption, limits)[None]


def draw_tiles_by_day(
    images: StoredRows, chosen: Mapping[Day, Sequence[ImageRow]], caption: Caption, limits: Limits = DEFAULT_LIMITS
) -> dict[Day, list[Tile]]:
    """Like `draw_tiles` for many days in one pass."""
    thumbnails = draw_thumbnails(images, {row["image_id"] for rows in chosen.values() for row in rows}, TILE, limits)
    return {
        day: [Tile(thumbnails.get(row["image_id"], NO_THUMBNAIL), *caption(row)) for row in rows]
        for day, rows in chosen.items()
    }


def fit_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shortens untrusted text to one line of `width` pixels; unprintable characters become question marks."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
