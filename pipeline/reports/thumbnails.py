"""Thumbnails of chosen images, decoded in the sandbox of a worker, or of the driver if they are few."""

import io
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline.embed.contents import choose_columns
from pipeline.embed.letterbox import fit
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import PIXELS_SCHEMA, Decoding, as_pixels, decode_batches
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import Map, map_picked
from pipeline.storage.stored_rows import StoredRows

QUALITY: Final = 85  # of a thumbnail's JPEG
TASK_IMAGES: Final = 100  # approximate, of a task that reads stored rows


def draw_thumbnails(
    images: StoredRows, image_ids: Collection[str], side: int, limits: Limits = DEFAULT_LIMITS
) -> dict[str, bytes]:
    """Draws thumbnails of up to thousands of images.

    Args:
        images: rows of the table they are in, with the columns of `contents.COLUMNS`.
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

    drawn = _map_images(images, image_ids, draw, "image_id string, thumbnail binary")
    return dict(zip(drawn["image_id"].to_pylist(), drawn["thumbnail"].to_pylist(), strict=True))


def read_pixels(images: StoredRows, image_ids: Collection[str], decoding: Decoding) -> dict[str, np.ndarray]:
    """Reads the pixels of a few images, fitted to a square; arguments and missing images as in `draw_thumbnails`."""
    if not image_ids:
        return {}
    decoded = _map_images(images, image_ids, decode_batches(decoding), PIXELS_SCHEMA)
    pixels = (as_pixels(each, decoding.size) for each in decoded["pixels"].to_pylist())
    return dict(zip(decoded["image_id"].to_pylist(), pixels, strict=True))


def _map_images(images: StoredRows, image_ids: Collection[str], function: Map, schema: str) -> pa.Table:
    """Maps a function over the rows of images, with what their bytes are read from."""
    wanted = pa.array(image_ids, pa.string())
    places = images.locate(["image_id"], lambda rows: pc.is_in(rows["image_id"], wanted))
    columns = choose_columns(images.schema.names)
    return map_picked(images, places, columns, TASK_IMAGES, function, parse_schema(schema))


def draw_jpeg(row: Mapping[str, Any], side: int) -> bytes:
    """Crops the padding of a letterboxed image, a row of `pixels`, `width` and `height`; returns a JPEG."""
    width, height = fit(row["width"], row["height"], side)
    left, top = (side - width) // 2, (side - height) // 2
    file = io.BytesIO()
    pixels = as_pixels(row["pixels"], side)[top : top + height, left : left + width]
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
