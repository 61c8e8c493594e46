"""Near-duplicates: pairs of labelled images that show the same shot, re-encoded, cropped, scaled, mirrored or rotated.

Embeddings propose candidate pairs, pixels confirm them. The effect on the split is in `leakage_groups.py`.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.letterbox import squash
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import PIXELS_SCHEMA, Decoding, as_pixels, decode_batches
from pipeline.images.features import distinct_images
from pipeline.reports.contact_sheet import draw_contact_sheet, draw_tiles
from pipeline.reports.palette import DOUBTFUL, INK
from pipeline.reports.report import Report
from pipeline.similarity.alignment import SIDE, correlate_images
from pipeline.similarity.candidate_pairs import SCHEMA as CANDIDATES_SCHEMA
from pipeline.similarity.candidate_pairs import find_candidate_pairs
from pipeline.storage.schema import parse_schema

SCHEMA: Final = f"""{CANDIDATES_SCHEMA},
    correlation double comment 'of the fine structure of the aligned images, from training_images.content; at most 1'
"""
MIN_CORRELATION: Final = 0.9
"""Minimum for two files of one shot. On 3,409 clothing photos it finds 98 % of the planted near-duplicates and no wrong
pair."""

# Minima, both needed, for two photos of an object that moved a little before the same background.
SAME_OBJECT_SIMILARITY: Final = 0.85
SAME_OBJECT_CORRELATION: Final = 0.5
SHEET_PAIRS: Final = 12


def find_near_duplicates(features: DataFrame, images: DataFrame, limits: Limits = DEFAULT_LIMITS) -> DataFrame:
    """Finds the pairs of images that show the same shot, in the columns of `SCHEMA`.

    Finds candidate pairs at once and compares their pixels lazily. Bound: the driver holds the sample of
    `find_candidate_pairs`, and 150 bytes for each of at most nine candidate pairs per image. An image without structure
    has no near-duplicates, because nothing can be aligned with it.

    Args:
        features: distinct images, with `image_id` and `features`.
        images: with `image_id`, `path` and `content`; only images in candidate pairs are decoded.
        limits: limits for one image.
    """
    spark = images.sparkSession
    pairs = find_candidate_pairs(features).orderBy("image_id", "near_duplicate_id").toArrow()
    if pairs.num_rows == 0:
        return spark.createDataFrame([], parse_schema(SCHEMA))
    either = spark.createDataFrame(pairs).withColumn("either", F.explode(F.array("image_id", "near_duplicate_id")))
    wanted = distinct_images(images, ["image_id"]).join(
        F.broadcast(either.select(F.col("either").alias("image_id")).distinct()), "image_id", "left_semi"
    )
    decode = decode_batches(Decoding(SIDE, limits, squash))
    decoded = wanted.select("image_id", "content").mapInArrow(decode, PIXELS_SCHEMA)
    shrunk = decoded.select(F.col("image_id").alias("either"), "pixels")
    met = either.join(shrunk, "either").groupBy("image_id", "near_duplicate_id", "similarity")
    both = met.agg(F.sort_array(F.collect_list("pixels")).alias("pixels")).where(F.size("pixels") == 2)
    scored = both.repartition("image_id", "near_duplicate_id").mapInArrow(_correlate, parse_schema(SCHEMA))
    is_same_shot = F.col("correlation") >= MIN_CORRELATION
    is_same_object = (F.col("similarity") >= SAME_OBJECT_SIMILARITY) & (F.col("correlation") >= SAME_OBJECT_CORRELATION)
    return scored.where(is_same_shot | is_same_object)


def find_conflicts(near_duplicates: DataFrame, labelled: DataFrame) -> DataFrame:
    """Finds near-duplicates with different labels, lazily: one of the two labels is wrong.

    Returns the columns of `near_duplicates`, followed by `label` and `other_label`. In `labelled`, images may have any
    number of rows, and rows without a label are ignored.
    """
    labels = labelled.where(F.col("label").isNotNull()).select("image_id", "label").distinct()
    other_labels = labels.toDF("near_duplicate_id", "other_label")
    pairs = near_duplicates.join(labels, "image_id").join(other_labels, "near_duplicate_id")
    return pairs.where("label <> other_label").select(*near_duplicates.columns, "label", "other_label")


def describe_near_duplicates(images: DataFrame, limits: Limits = DEFAULT_LIMITS) -> Callable[[DataFrame], Report]:
    """Counts the pairs and those with conflicting labels, and draws the most doubtful pairs of the labelled images."""

    def describe(near_duplicates: DataFrame) -> Report:
        count = near_duplicates.count()
        if count == 0:
            return Report(numbers={"pair_count": 0, "conflict_count": 0})
        conflicts = find_conflicts(near_duplicates, images).select("image_id", "near_duplicate_id").distinct()
        doubtful = near_duplicates.orderBy("correlation", "image_id").limit(SHEET_PAIRS).collect()
        chosen = [
            Row(image_id=pair[name], correlation=pair["correlation"])
            for pair in doubtful
            for name in ("image_id", "near_duplicate_id")
        ]
        tiles = draw_tiles(images, chosen, _write_caption, limits)
        return Report(
            numbers={"pair_count": count, "conflict_count": conflicts.count()},
            images={"most_doubtful_pairs": draw_contact_sheet(tiles)},
        )

    return describe


def _write_caption(image: Row) -> tuple[str, str]:
    colour = INK if image["correlation"] >= MIN_CORRELATION else DOUBTFUL
    return f"{image['image_id'][:12]}\ncorrelation {image['correlation']:.2f}", colour


def _correlate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        shrunk = [[as_pixels(pixels, SIDE) for pixels in pair] for pair in batch["pixels"].to_pylist()]
        correlations = pa.array([correlate_images(*pair) for pair in shrunk], pa.float64())
        names = ["image_id", "near_duplicate_id", "similarity"]
        yield pa.RecordBatch.from_arrays([*map(batch.column, names), correlations], [*names, "correlation"])
