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
    return unpack_vectors(sample_rows(features, limit, "image_id", "features"))


def sample_labelled(features: DataFrame, limit: int) -> tuple[list[str], np.ndarray]:
    """Like `sample_vectors`, for images with a `label`; returns the labels instead of `image_id`."""
    table = sample_rows(features.where(F.col("label").isNotNull()), limit, "image_id", "label", "features")
    return table["label"].to_pylist(), unpack_vectors(table)[1]


def sample_rows(features: DataFrame, limit: int, *columns: str) -> pa.Table:
    """Like `sample_vectors`, for any columns, not unpacked."""
    readable = features.where(F.col("features").isNotNull()).select(*columns)
    return readable.orderBy(F.xxhash64("image_id"), "image_id").limit(limit).toArrow()


def sample_days(features: DataFrame, limit: int) -> DataFrame:
    """Chooses at most `limit` images of each day that have features, by their digests, lazily.

    Returns:
        The given columns, `rank` within the sample, from 1, and `day_count`: images of the day that have features.
    """
    readable = features.where(F.col("features").isNotNull())
    day = Window.partitionBy("day")
    ranked = readable.select(
        *("day", "image_id"),
        F.row_number().over(day.orderBy(F.xxhash64("image_id"), "image_id")).alias("rank"),
        F.count("*").over(day).alias("day_count"),
    )
    return readable.join(F.broadcast(ranked.where(F.col("rank") <= limit)), ["day", "image_id"])


def collect_days(sample: DataFrame) -> dict[str, tuple[list[str], np.ndarray]]:
    """Like `sample_vectors`, for each day of a result of `sample_days`, by day as YYYY-MM-DD."""
    table = sample.select("day", "image_id", "features", "rank").toArrow()
    return {day: unpack_vectors(rows) for day, rows in split_days(table).items()}


def split_days(sample: pa.Table) -> dict[str, pa.Table]:
    """Splits a collected result of `sample_days` by day, YYYY-MM-DD, each in the order of `rank`."""
    table = sample.sort_by([("day", "ascending"), ("rank", "ascending")])
    counts = [(str(each["values"]), each["counts"]) for each in pc.value_counts(table["day"]).to_pylist()]
    starts = accumulate((count for _, count in counts), initial=0)
    return {day: table.slice(start, count) for (day, count), start in zip(counts, starts, strict=False)}


def unpack_vectors(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """Unpacks `image_id`, and `features` as float32 `[n, dimension]` with rows of length 1 (or 0)."""
    return table["image_id"].to_pylist(), normalise(to_matrix(table["features"]))
