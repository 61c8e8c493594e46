"""Thumbnails: small JPEGs of chosen images, drawn by the workers or, for a few, by the driver."""

import io
from collections.abc import Collection, Iterator

import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.decode import UnreadableImageError, decode
from pipeline.embed.letterbox import fit
from pipeline.reports.palette import PALE


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
    except UnreadableImageError:
        _empty(side).save(file, "JPEG")
        return file.getvalue()
    width, height = fit(picture.width, picture.height, side)
    left, top = (side - width) // 2, (side - height) // 2
    Image.fromarray(picture.pixels[top : top + height, left : left + width]).save(file, "JPEG", quality=75)
    return file.getvalue()


def square_thumbnail(content: bytes, side: int) -> Image.Image:
    """The image letterboxed to a square of this side; what cannot be decoded is an empty square."""
    try:
        return Image.fromarray(decode(content, side).pixels)
    except UnreadableImageError:
        return _empty(side)


def _empty(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), PALE)
