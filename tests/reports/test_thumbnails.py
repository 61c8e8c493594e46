"""Thumbnails: drawn by the workers in the sandbox, within the limits of the deployment."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import StoreRows
from PIL import Image
from pyspark.sql import Row, SparkSession

from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.pixels import Decoding
from pipeline.reports.contact_sheet import TILE, draw_contact_sheet, draw_tiles
from pipeline.reports.thumbnails import draw_thumbnails, read_pixels
from pipeline.storage.stored_rows import StoredRows

RED, BLUE = (220, 30, 40), (40, 50, 210)

MakeImages = Callable[..., tuple[StoredRows, list[str]]]


def save(colour: tuple[int, int, int], width: int = 80, height: int = 40, file_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, file_format)
    return file.getvalue()


@pytest.fixture
def make_images(spark: SparkSession, store_rows: StoreRows) -> MakeImages:
    """Stores images, and returns their ids too."""

    def make(*contents: bytes | None) -> tuple[StoredRows, list[str]]:
        ids = [hashlib.sha256(content or b"purged").hexdigest() for content in contents]
        frame = spark.createDataFrame(list(zip(ids, contents, strict=True)), "image_id string, content binary")
        return store_rows(frame), ids

    return make


def colour_at(sheet: bytes, left: int, top: int) -> tuple[int, ...]:
    return Image.open(io.BytesIO(sheet)).convert("RGB").getpixel((left, top))


def test_a_thumbnail_has_the_shape_of_its_image(make_images: MakeImages) -> None:
    images, ids = make_images(save(RED), save(BLUE, 30, 60, "JPEG"), b"no image", None)
    thumbnails = draw_thumbnails(images, ids, 60)
    assert thumbnails.keys() == set(ids[:2]), "images that cannot be decoded and purged ones are missing"
    assert [Image.open(io.BytesIO(thumbnails[each])).size for each in ids[:2]] == [(60, 30), (30, 60)]
    assert np.abs(np.array(colour_at(thumbnails[ids[0]], 30, 15)) - RED).max() < 8


def test_the_limits_of_the_deployment_hold_for_pages(make_images: MakeImages) -> None:
    images, ids = make_images(save(RED, 300, 200))
    strict, wide = (replace(DEFAULT_LIMITS, pixels=pixels) for pixels in (300 * 200 - 1, 300 * 200))
    assert draw_thumbnails(images, ids, 60, strict) == {}
    assert draw_thumbnails(images, ids, 60, wide).keys() == set(ids)
    assert read_pixels(images, ids, Decoding(32, strict)) == {}
    assert read_pixels(images, ids, Decoding(32, wide))[ids[0]].shape == (32, 32, 3)


def test_a_sheet_shows_every_image_in_its_order_and_leaves_lost_ones_empty(make_images: MakeImages) -> None:
    images, ids = make_images(save(RED), save(BLUE), b"no image")
    chosen = [Row(image_id=each) for each in (ids[1], ids[2], ids[0])]
    tiles = draw_tiles(images, chosen, lambda row: (row["image_id"][:6], "black"))
    assert [bool(tile.thumbnail) for tile in tiles] == [True, False, True]
    sheet = draw_contact_sheet(tiles)
    middle = TILE // 2
    assert np.abs(np.array(colour_at(sheet, 6 + middle, 6 + middle)) - BLUE).max() < 16
    assert np.abs(np.array(colour_at(sheet, 6 + 2 * (TILE + 6) + middle, 6 + middle)) - RED).max() < 16


def test_nothing_is_read_for_an_empty_choice(make_images: MakeImages) -> None:
    images, _ = make_images(save(RED))
    assert draw_thumbnails(images, [], 60) == {}
    assert draw_tiles(images, [], lambda row: ("", "")) == []
