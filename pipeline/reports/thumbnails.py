"""Thumbnails of chosen images, drawn by the workers or, for a few, by the driver."""

import io
from collections.abc import Collection, Iterator

import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.decode import decode
from pipeline.embed.letterbox import fit
from pipeline.embed.reasons import UnreadableImageError
from pipeline.reports.palette import PALE


def read_contents(images: DataFrame, image_ids: Collection[str]) -> dict[str, bytes]:
    """Reads the bytes of at most a few dozen images, by `image_id`; purged images are missing."""
    if not image_ids:
        return {}
    return {row["image_id"]: bytes(row["content"]) for row in _select(images, image_ids).toLocalIterator()}


def draw_thumbnails(images: DataFrame, image_ids: Collection[str], side: int) -> dict[str, bytes]:
    """Draws thumbnails of up to thousands of images on the workers, by `image_id`; purged images are missing."""

    def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            thumbnails = [draw_thumbnail(content.as_py(), side) for content in batch["content"]]
            yield pa.RecordBatch.from_arrays(
                [batch["image_id"], pa.array(thumbnails, pa.binary())], ["image_id", "thumbnail"]
            )

    if not image_ids:
        return {}
    drawn = _select(images, image_ids).mapInArrow(draw, "image_id string, thumbnail binary").collect()
    return {row["image_id"]: bytes(row["thumbnail"]) for row in drawn}


def _select(images: DataFrame, image_ids: Collection[str]) -> DataFrame:
    """Selects the unpurged rows of at least one image; Spark Connect cannot create an empty frame."""
    wanted = images.sparkSession.createDataFrame(pa.table({"image_id": pa.array(image_ids, pa.string())}))
    with_bytes = images.where(F.col("content").isNotNull()).select("image_id", "content")
    return with_bytes.join(F.broadcast(wanted), "image_id", "left_semi")  # `isin` creates a JVM object for each id


def draw_thumbnail(content: bytes, side: int) -> bytes:
    """Draws an image scaled to fit a square of `side` pixels, as JPEG; an undecodable file is an empty square."""
    try:
        image = decode(content, side)
        width, height = fit(image.width, image.height, side)
        left, top = (side - width) // 2, (side - height) // 2
        thumbnail = Image.fromarray(image.pixels[top : top + height, left : left + width])
    except UnreadableImageError:
        thumbnail = _empty(side)
    file = io.BytesIO()
    thumbnail.save(file, "JPEG", quality=75)
    return file.getvalue()


def square_thumbnail(content: bytes, side: int) -> Image.Image:
    """Letterboxes an image to a square of `side` pixels; an undecodable file is an empty square."""
    try:
        return Image.fromarray(decode(content, side).pixels)
    except UnreadableImageError:
        return _empty(side)


def _empty(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), PALE)
