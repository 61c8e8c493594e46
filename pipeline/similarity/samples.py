"""Samples: embeddings of a limited number of images, as one matrix on the driver."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.reports.queries import Rows, query_table
from pipeline.similarity.nearest import normalise
from pipeline.storage.picked_rows import pick_rows
from pipeline.storage.stored_rows import StoredRows
from pipeline.storage.vectors import to_matrix

_CHOSEN: Final = """
    SELECT day, image_id, row_number() OVER days AS rank, count(*) OVER (PARTITION BY day) AS day_count
    FROM features WHERE error IS NULL AND backbone = $backbone AND coalesce(decoder, '') = $decoder
    WINDOW days AS (PARTITION BY day ORDER BY md5(image_id), image_id) QUALIFY rank <= $limit
"""
_SAMPLED: Final = ("day", "image_id", "features", "quality_flags")


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


def sample_days(features: Rows, limit: int, backbone: str, decoder: str) -> dict[str, pa.Table]:
    """Samples at most `limit` images of each day that have features of a backbone, by their digests.

    Args:
        features: rows of `image_features` of some days.
        limit: maximum per day, all of which the driver holds.
        backbone: digest of the graph that made the features.
        decoder: of the images; empty for an earlier version, which did not name it.

    Returns:
        By day, YYYY-MM-DD, in the order of the sample: `image_id`, `features`, `quality_flags`, and `day_count`: how
        many such images the day has.
    """
    chosen = query_table(_CHOSEN, {"limit": limit, "backbone": backbone, "decoder": decoder}, features=features)
    rows = _pick(features, chosen["image_id"])
    rows = rows.filter(pc.is_valid(rows["features"]))
    keys = rows.select(["day", "image_id"]).append_column("row", pa.array(range(len(rows)), pa.int64()))
    found = keys.join(chosen, ["day", "image_id"], join_type="inner")
    order = found.sort_by([("day", "ascending"), ("rank", "ascending")])
    table = rows.take(order["row"]).append_column("day_count", order["day_count"])
    counts = [(str(each["values"]), each["counts"]) for each in pc.value_counts(table["day"]).to_pylist()]
    starts = accumulate((count for _, count in counts), initial=0)
    return {day: table.slice(start, count) for (day, count), start in zip(counts, starts, strict=False)}


def _pick(features: Rows, image_ids: pa.ChunkedArray) -> pa.Table:
    if isinstance(features, StoredRows):
        places = features.locate(["image_id"], lambda rows: pc.is_in(rows["image_id"], image_ids))
        return pick_rows(features, places, _SAMPLED)
    return features.filter(pc.is_in(features["image_id"], image_ids)).select(_SAMPLED)


def unpack_days(samples: Mapping[str, pa.Table]) -> dict[str, tuple[list[str], np.ndarray]]:
    """Unpacks the result of `sample_days` by `unpack_vectors`."""
    return {day: unpack_vectors(rows) for day, rows in samples.items()}


def unpack_vectors(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """Unpacks `image_id`, and `features` as float32 `[n, dimension]` with rows of length 1 (or 0)."""
    return table["image_id"].to_pylist(), normalise(to_matrix(table["features"]))
