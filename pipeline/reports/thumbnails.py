"""Thumbnails of chosen images, drawn by the workers; the driver never holds the bytes of an image."""

import io
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from pipeline.embed.contents import choose_columns
from pipeline.embed.letterbox import fit
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import PIXELS_SCHEMA, Decoding, as_pixels, decode_batches
from pipeline.storage.arrow_schema import to_arrow_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.stored_rows import StoredRows, complete_rows, read_portion, share_rows

QUALITY: Final = 85  # of a thumbnail's JPEG
TASK_IMAGES: Final = 100  # approximate, of a task that reads stored rows

Images: TypeAlias = StoredRows
"""Rows with the columns of `contents.COLUMNS`."""


def draw_thumbnails(
    images: Images, image_ids: Collection[str], side: int, limits: Limits = DEFAULT_LIMITS
) -> dict[str, bytes]:
    """Draws thumbnails of up to thousands of images.

    Args:
        images: the table they are in.
        image_ids: images to draw.
        side: side of the square that a thumbnail fits, in pixels.
        limits: limits for one image.

    Returns:
        JPEGs by `image_id`; images that were purged, whose file has changed or that cannot be decoded are missing.
    """
    if not image_ids:
        return {}
    decode = decode_batches(Decoding(side, limits))

    def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in decode(batches):
            thumbnails = pa.array([draw_jpeg(row, side) for row in batch.to_pylist()], pa.binary())
            yield pa.RecordBatch.from_arrays([batch["image_id"], thumbnails], ["image_id", "thumbnail"])

    drawn = select_images(images, image_ids).mapInArrow(draw, "image_id string, thumbnail binary").collect()
    return {row["image_id"]: bytes(row["thumbnail"]) for row in drawn}


def read_pixels(images: Images, image_ids: Collection[str], decoding: Decoding) -> dict[str, np.ndarray]:
    """Reads the pixels of a few images, fitted to a square; arguments and missing images as in `draw_thumbnails`."""
    if not image_ids:
        return {}
    decoded = select_images(images, image_ids).mapInArrow(decode_batches(decoding), PIXELS_SCHEMA).collect()
    return {row["image_id"]: as_pixels(bytes(row["pixels"]), decoding.size) for row in decoded}


def select_images(images: Images, image_ids: Collection[str]) -> DataFrame:
    """Selects the rows of images, with what their bytes are read from.

    Workers read the row groups that have these images, and no others.
    """
    wanted, folder = pa.array(image_ids, pa.string()), images.folder
    columns = choose_columns(images.schema.names)
    schema = StructType([images.schema[name] for name in columns])
    arrow_schema = to_arrow_schema(schema)
    places = images.locate(["image_id"], lambda rows: pc.is_in(rows["image_id"], wanted))
    if places.num_rows == 0:
        return make_frame(images.spark, schema)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(batch.to_pylist() for batch in batches):
            yield from complete_rows(read_portion(folder, portion, columns), {}, arrow_schema).to_batches()

    return share_rows(images.spark, places, [1] * places.num_rows, TASK_IMAGES).mapInArrow(read, schema)


def draw_jpeg(row: Mapping[str, Any], side: int) -> bytes:
    """Crops the padding of a letterboxed image, a row of `pixels`, `width` and `height`; returns a JPEG."""
    width, height = fit(row["width"], row["height"], side)
    left, top = (side - width) // 2, (side - height) // 2
    file = io.BytesIO()
    pixels = as_pixels(row["pixels"], side)[top : top + height, left : left + width]
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
