"""Samples: embeddings of a limited number of images, as one matrix on the driver."""

from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.similarity.nearest import normalise
from pipeline.storage.vectors import to_matrix


def sample_vectors(features: DataFrame, limit: int) -> tuple[list[str], np.ndarray]:
    """Collects the embeddings of at most `limit` images, scaled to length 1.

    The digests decide which images: the same images give the same sample, in the same order.
    Bound: `limit` times 4 bytes times the length of a vector; 102 MB for 20,000 of 1,280.

    Returns:
        Their `image_id`, and float32 `[n, dimension]` with rows of length 1 (or 0, for a vector of zeros).
    """
    return _unpack(_sample(features, limit, "image_id", "features"))


def sample_labelled(features: DataFrame, limit: int) -> tuple[list[str], np.ndarray]:
    """Like `sample_vectors`, for images with a `label`; returns the labels instead of `image_id`."""
    table = _sample(features.where(F.col("label").isNotNull()), limit, "image_id", "label", "features")
    return table["label"].to_pylist(), _unpack(table)[1]


def _sample(features: DataFrame, limit: int, *columns: str) -> pa.Table:
    readable = features.where(F.col("features").isNotNull()).select(*columns)
    return readable.orderBy(F.xxhash64("image_id"), "image_id").limit(limit).toArrow()


def sample_days(features: DataFrame, limit: int) -> dict[str, tuple[list[str], np.ndarray]]:
    """Like `sample_vectors`, for each day that has images, by day as YYYY-MM-DD; the limit is per day."""
    readable = features.where(F.col("features").isNotNull())
    rank = F.row_number().over(Window.partitionBy("day").orderBy(F.xxhash64("image_id"), "image_id"))
    chosen = readable.select("day", "image_id", rank.alias("rank")).where(F.col("rank") <= limit)
    rows = readable.select("day", "image_id", "features").join(F.broadcast(chosen), ["day", "image_id"])
    table = rows.toArrow().sort_by([("day", "ascending"), ("rank", "ascending")])
    counts = [(str(each["values"]), each["counts"]) for each in pc.value_counts(table["day"]).to_pylist()]
    starts = accumulate((count for _, count in counts), initial=0)
    return {day: _unpack(table.slice(start, count)) for (day, count), start in zip(counts, starts, strict=False)}


def _unpack(table: pa.Table) -> tuple[list[str], np.ndarray]:
    return table["image_id"].to_pylist(), normalise(to_matrix(table["features"]))
