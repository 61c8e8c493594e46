"""Near-duplicates: pairs of labelled images that show the same shot, re-encoded, cropped, scaled, mirrored or rotated.

Embeddings propose candidate pairs, pixels confirm them. The effect on the split is in `leakage_groups.py`.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.contents import choose_columns
from pipeline.embed.file_kinds import DECODER
from pipeline.embed.fits import SQUASH
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import PIXELS_SCHEMA, Decoding, as_pixels, decode_batches
from pipeline.images.features import distinct_images
from pipeline.reports.contact_sheet import draw_contact_sheet, draw_tiles
from pipeline.reports.palette import DOUBTFUL, INK
from pipeline.reports.report import Report
from pipeline.similarity.alignment import ALIGNMENT, SIDE, correlate_images
from pipeline.similarity.candidate_pairs import SCHEMA as CANDIDATES_SCHEMA
from pipeline.similarity.candidate_pairs import find_candidate_pairs
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import only_row
from pipeline.storage.local_frames import make_frame, open_table
from pipeline.storage.stored_rows import StoredRows

SCHEMA: Final = f"""{CANDIDATES_SCHEMA},
    correlation double comment 'of the fine structure of the aligned images,
        from training_images.content or training_images.location; at most 1'
"""
COMPARED_SCHEMA: Final = f"""{SCHEMA},
    comparison string comment 'version of the alignment and of the decoder',
    search string comment 'digest of the images among which the pair was found, and of the backbone'
"""
COMPARISON: Final = f"alignment {ALIGNMENT}, {DECODER}"
MIN_CORRELATION: Final = 0.9
"""Minimum for two files of one shot. On 3,409 clothing photos it finds 98 % of the planted near-duplicates and no wrong
pair."""

# Minima, both needed, for two photos of an object that moved a little before the same background.
SAME_OBJECT_SIMILARITY: Final = 0.85
SAME_OBJECT_CORRELATION: Final = 0.5
SHEET_PAIRS: Final = 12
PAIR: Final = ["image_id", "near_duplicate_id"]


def find_near_duplicates(features: DataFrame, images: DataFrame, limits: Limits = DEFAULT_LIMITS) -> DataFrame:
    """Finds the pairs of images that show the same shot, in the columns of `SCHEMA`; arguments: `compare_pairs`."""
    return select_near_duplicates(compare_pairs(features, images, None, limits))


def compare_pairs(
    features: DataFrame, images: DataFrame, compared: DataFrame | None, limits: Limits = DEFAULT_LIMITS
) -> DataFrame:
    """Compares the pixels of all candidate pairs, in the columns of `COMPARED_SCHEMA`; pairs known from before at once.

    A correlation depends on two images, the decoder and the alignment: not on the backbone, nor on other images. Finds
    candidate pairs at once, unless the images and the backbone are those of the earlier call, and compares the pixels
    of new ones lazily. Bound: the driver holds the sample of
    `find_candidate_pairs`, and 300 bytes for each of at most nine candidate pairs per image. An image without structure
    has no near-duplicates, because nothing can be aligned with it.

    Args:
        features: distinct images, with `image_id` and `features`.
        images: with `path` and the columns of `contents.COLUMNS`; only images in new candidate pairs are decoded.
        compared: result of an earlier call, of any images; None without one.
        limits: limits for one image.
    """
    spark, search, former = images.sparkSession, _identify(features), None
    if compared is not None:
        former = compared.where(F.col("comparison") == COMPARISON).toArrow()
        if former.num_rows and pc.all(pc.equal(former["search"], search)).as_py():
            return open_table(spark, former).to(parse_schema(COMPARED_SCHEMA))
    pairs = find_candidate_pairs(features).orderBy(*PAIR).toArrow()
    known = pairs.slice(0, 0).append_column("correlation", pa.array([], pa.float64()))
    if former is not None:
        met = pairs.join(former.select([*PAIR, "correlation"]), PAIR, join_type="left outer")
        met = met.sort_by([(name, "ascending") for name in PAIR])
        known, pairs = (met.filter(keep(met["correlation"])) for keep in (pc.is_valid, pc.is_null))
        pairs = pairs.drop_columns("correlation")
    frames = [open_table(spark, known)] if known.num_rows else []
    if pairs.num_rows:
        frames.append(_compare_pixels(open_table(spark, pairs), images, limits))
    if not frames:
        return make_frame(spark, parse_schema(COMPARED_SCHEMA))
    joined = reduce(DataFrame.unionByName, frames)
    marked = joined.withColumns({"comparison": F.lit(COMPARISON), "search": F.lit(search)})
    return marked.to(parse_schema(COMPARED_SCHEMA))


def _identify(features: DataFrame) -> str:
    """Hashes the images with features and their backbones, whatever their order."""
    row = F.xxhash64("image_id", *(name for name in ("backbone",) if name in features.columns))
    found = features.where(F.col("features").isNotNull()).select(row.alias("row"))
    counts = only_row(found.agg(F.count("*"), F.bit_xor("row"), F.sum(F.col("row").cast("decimal(38)"))))
    return " ".join(map(str, counts))


def select_near_duplicates(compared: DataFrame) -> DataFrame:
    """Selects the compared pairs that show the same shot, in the columns of `SCHEMA`."""
    is_same_shot = F.col("correlation") >= MIN_CORRELATION
    is_same_object = (F.col("similarity") >= SAME_OBJECT_SIMILARITY) & (F.col("correlation") >= SAME_OBJECT_CORRELATION)
    return compared.where(is_same_shot | is_same_object).to(parse_schema(SCHEMA))


def _compare_pixels(pairs: DataFrame, images: DataFrame, limits: Limits) -> DataFrame:
    either = pairs.withColumn("either", F.explode(F.array(*PAIR)))
    wanted = distinct_images(images, ["image_id"]).join(
        F.broadcast(either.select(F.col("either").alias("image_id")).distinct()), "image_id", "left_semi"
    )
    decode = decode_batches(Decoding(SIDE, limits, SQUASH))
    decoded = wanted.select(*choose_columns(wanted.columns)).mapInArrow(decode, PIXELS_SCHEMA)
    shrunk = decoded.select(F.col("image_id").alias("either"), "pixels")
    met = either.join(shrunk, "either").groupBy(*PAIR, "similarity")
    both = met.agg(F.sort_array(F.collect_list("pixels")).alias("pixels")).where(F.size("pixels") == 2)
    return both.repartition(*PAIR).mapInArrow(_correlate, parse_schema(SCHEMA))


def find_conflicts(near_duplicates: DataFrame, labelled: DataFrame) -> DataFrame:
    """Finds near-duplicates with different labels, lazily: one of the two labels is wrong.

    Returns the columns of `near_duplicates`, followed by `label` and `other_label`. In `labelled`, images may have any
    number of rows, and rows without a label are ignored.
    """
    labels = labelled.where(F.col("label").isNotNull()).select("image_id", "label").distinct()
    other_labels = labels.toDF("near_duplicate_id", "other_label")
    pairs = near_duplicates.join(labels, "image_id").join(other_labels, "near_duplicate_id")
    return pairs.where("label <> other_label").select(*near_duplicates.columns, "label", "other_label")


def describe_near_duplicates(images: StoredRows, limits: Limits = DEFAULT_LIMITS) -> Callable[[DataFrame], Report]:
    """Counts the pairs and those with conflicting labels, and draws the most doubtful pairs of the labelled images."""

    def describe(near_duplicates: DataFrame) -> Report:
        count = near_duplicates.count()
        if count == 0:
            return Report(numbers={"pair_count": 0, "conflict_count": 0})
        conflicts = find_conflicts(near_duplicates, images.frame).select("image_id", "near_duplicate_id").distinct()
        doubtful = near_duplicates.orderBy("correlation", "image_id").limit(SHEET_PAIRS).collect()
        chosen = [Row(image_id=pair[name], correlation=pair["correlation"]) for pair in doubtful for name in PAIR]
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
        names = [*PAIR, "similarity"]
        yield pa.RecordBatch.from_arrays([*map(batch.column, names), correlations], [*names, "correlation"])
