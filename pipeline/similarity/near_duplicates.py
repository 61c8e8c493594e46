"""Twins: labelled pictures that show the very same: saved anew, cut, scaled, mirrored, turned a little.

Embeddings say which ones may be, pixels which ones are. What twins mean for the split is `groups.py`.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.images.features import distinct_images
from pipeline.reports.contact_sheet import draw_contact_sheet, read_tiles
from pipeline.reports.palette import DOUBTFUL, INK
from pipeline.reports.report import Report
from pipeline.similarity.alignment import SIDE, correlate_images, shrink_image
from pipeline.similarity.candidate_pairs import SCHEMA as NEIGHBOURS_SCHEMA
from pipeline.similarity.candidate_pairs import find_candidate_pairs
from pipeline.storage.schema import parse_schema

SCHEMA: Final = f"""{NEIGHBOURS_SCHEMA},
    correlation double comment 'of the fine structure, one laid over the other, from training_images.content; at most 1'
"""
LEAST_CORRELATION: Final = 0.9
"""Of two files of one photo. On clothing photos it finds 98 % of planted twins, and of 3,409 photos no wrong pair."""

SAME_OBJECT_SIMILARITY: Final = 0.85
SAME_OBJECT_CORRELATION: Final = 0.5
"""With such a similarity: two photos of one object on one backdrop, which moved a little."""

SHEET_PAIRS: Final = 12


def find_near_duplicates(features: DataFrame, images: DataFrame, max_pixels: int = DEFAULT_LIMITS.pixels) -> DataFrame:
    """Finds the pairs of pictures that show the very same, in the columns of `SCHEMA`.

    Neighbours are found at once, their pixels compared lazily. Bound: the driver holds what
    `find_candidate_pairs` says, and
    150 bytes for each pair of neighbours, of which there are nine for each picture at most. A picture without any
    structure has no twin, for nothing can be laid on it.

    Args:
        features: distinct pictures, with `image_id` and `features`.
        images: with `image_id`, `path` and `content`; the bytes of pictures that have neighbours are decoded.
        max_pixels: that a picture may have.
    """
    spark = images.sparkSession
    pairs = find_candidate_pairs(features).orderBy("image_id", "near_duplicate_id").toArrow()
    if pairs.num_rows == 0:
        return spark.createDataFrame([], parse_schema(SCHEMA))
    either = spark.createDataFrame(pairs).withColumn("either", F.explode(F.array("image_id", "near_duplicate_id")))
    wanted = distinct_images(images, ["image_id"]).join(
        F.broadcast(either.select(F.col("either").alias("image_id")).distinct()), "image_id", "left_semi"
    )
    shrunk = wanted.select("image_id", "content").mapInArrow(_shrink(max_pixels), "either string, pixels binary")
    met = either.join(shrunk, "either").groupBy("image_id", "near_duplicate_id", "similarity")
    both = met.agg(F.sort_array(F.collect_list("pixels")).alias("pixels")).where(F.size("pixels") == 2)
    scored = both.repartition("image_id", "near_duplicate_id").mapInArrow(_correlate, parse_schema(SCHEMA))
    return scored.where(_are_twins())


def find_conflicts(twins: DataFrame, labelled: DataFrame) -> DataFrame:
    """Finds twins that have different labels, lazily: one of the two is wrong.

    Args:
        twins: in the columns of `SCHEMA`.
        labelled: with `image_id` and `label`, and any number of rows of a picture; rows without a label are left out.

    Returns:
        The columns of `twins`, with `label` and `twin_label` behind them.
    """
    labels = labelled.where(F.col("label").isNotNull()).select("image_id", "label").distinct()
    twin_labels = labels.toDF("near_duplicate_id", "twin_label")
    return (
        twins.join(labels, "image_id")
        .join(twin_labels, "near_duplicate_id")
        .where("label <> twin_label")
        .select(*twins.columns, "label", "twin_label")
    )


def describe_near_duplicates(images: DataFrame) -> Callable[[DataFrame], Report]:
    """How many twins there are, how many of them have two labels, and a sheet of the most doubtful ones.

    Args:
        images: with `image_id`, `label` and `content`, of all labelled pictures.
    """

    def describe(twins: DataFrame) -> Report:
        count = twins.count()
        if count == 0:
            return Report(numbers={"twin_pair_count": 0, "conflict_count": 0})
        conflict_count = find_conflicts(twins, images).select("image_id", "near_duplicate_id").distinct().count()
        doubtful = twins.orderBy("correlation", "image_id").limit(SHEET_PAIRS).collect()
        tiles = read_tiles(images, [side for pair in doubtful for side in _sides(pair)], _caption)
        return Report(
            numbers={"twin_pair_count": count, "conflict_count": conflict_count},
            images={"most_doubtful_twins": draw_contact_sheet(tiles)},
        )

    return describe


def _sides(pair: Row) -> list[Row]:
    return [Row(image_id=pair[side], correlation=pair["correlation"]) for side in ("image_id", "near_duplicate_id")]


def _caption(side: Row) -> tuple[str, str]:
    colour = INK if side["correlation"] >= LEAST_CORRELATION else DOUBTFUL
    return f"{side['image_id'][:12]}\ncorrelation {side['correlation']:.2f}", colour


def _are_twins() -> Column:
    same_photo = F.col("correlation") >= LEAST_CORRELATION
    alike = (F.col("similarity") >= SAME_OBJECT_SIMILARITY) & (F.col("correlation") >= SAME_OBJECT_CORRELATION)
    return same_photo | alike


def _shrink(max_pixels: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def shrink(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            pictures = [shrink_image(content.as_py(), max_pixels) for content in batch["content"]]
            pixels = pa.array([None if each is None else each.tobytes() for each in pictures], pa.binary())
            rows = pa.RecordBatch.from_arrays([batch["image_id"], pixels], ["either", "pixels"])
            yield rows.filter(pixels.is_valid())

    return shrink


def _correlate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        pictures = [
            [np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE, 3) for pixels in pair]
            for pair in batch["pixels"].to_pylist()
        ]
        correlations = pa.array([correlate_images(*pair) for pair in pictures], pa.float64())
        columns = [batch[name] for name in ("image_id", "near_duplicate_id", "similarity")]
        yield pa.RecordBatch.from_arrays(
            [*columns, correlations], ["image_id", "near_duplicate_id", "similarity", "correlation"]
        )
