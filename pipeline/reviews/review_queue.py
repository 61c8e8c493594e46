"""The review queue: images of low quality, uncertain and novel images and a random audit sample of each day."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.daily.predictions import REVIEW, SHEET_SIZE
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.reports.contact_sheet import ImageRow, draw_contact_sheet, draw_tiles_by_day
from pipeline.reports.palette import BAD, DOUBTFUL, GOOD, INK
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Number, Report
from pipeline.reviews.audit import AuditSize, draw_audit
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.stored_rows import StoredRows

SCHEMA: Final = """
    day date comment 'day the image arrived, from predictions.day',
    image_id string comment 'SHA-256 of the bytes, from predictions.image_id',
    path string comment 'path of its first file below the folder of the day, from predictions.path',
    predicted_label string comment 'label the classifier predicts, from predictions.predicted_label',
    confidence double comment 'probability of the predicted label, from predictions.confidence',
    reason string comment 'low quality, uncertain, novel, audit: from predictions.quality_flags, predictions.decision',
    similarity double comment 'nearest cosine, from image_features.features and training_features.features; or null',
    audit_weight double comment 'images of the day that this one represents in the audit; null outside the sample',
    classifier string comment 'version of the classifier, from predictions.classifier',
    quality_flags array<string> comment 'what is wrong with the image, from predictions.quality_flags',
    nearest_image_id string comment 'the most similar training image, from training_features.image_id; or null'
"""
LOW_QUALITY: Final = "low quality"
UNCERTAIN: Final = "uncertain"
NOVEL: Final = "novel"
AUDIT: Final = "audit"
_TILES: Final = """
    SELECT *, count(audit_weight) OVER (PARTITION BY day) AS drawn_count FROM (
        SELECT *, count(*) OVER same AS reason_count, row_number() OVER (same ORDER BY
            CASE reason WHEN $novel THEN similarity WHEN $uncertain THEN confidence END, image_id) AS rank
        FROM review_queue WINDOW same AS (PARTITION BY day, reason)
    ) QUALIFY row_number() OVER (PARTITION BY day ORDER BY rank, reason) <= $tiles
"""
COLOURS: Final = {LOW_QUALITY: BAD, UNCERTAIN: DOUBTFUL, NOVEL: INK, AUDIT: GOOD}


def queue_for_review(
    predictions: DataFrame,
    similarities: DataFrame,
    novel_below: float,
    audit_size: AuditSize,
    former: DataFrame | None = None,
) -> DataFrame:
    """Selects the images to review, lazily, in the columns of `SCHEMA`; of equal images the first file.

    `reason` is the first that applies. The audit is drawn from all predicted images, regardless of other reasons, so
    others can have an `audit_weight` too. While a day grows, its queue only grows: an image that was queued stays, and
    one that leaves the sample, which is always of the whole day, stays without an `audit_weight`.

    Args:
        predictions: predictions of one or more days; without `quality_flags` and `is_clustered` if an earlier version
            made them.
        similarities: rows in the columns of `novelty.SCHEMA` for the same days.
        novel_below: similarity below which an image is novel.
        audit_size: size of each day's sample.
        former: queue of the same days from an earlier run; rows of another classifier do not count.
    """
    first_path = Window.partitionBy("day", "image_id").orderBy("path")
    predicted = predictions.where(F.col("predicted_label").isNotNull())
    distinct = predicted.withColumn("order", F.row_number().over(first_path)).where("order = 1")
    candidates = draw_audit(distinct, audit_size).join(similarities, ["day", "image_id"], "left")
    if "quality_flags" not in candidates.columns:
        candidates = candidates.withColumn("quality_flags", F.lit(None).cast("array<string>"))
    if "is_clustered" not in candidates.columns:
        candidates = candidates.withColumn("is_clustered", F.lit(False))
    is_poor, is_uncertain = F.size("quality_flags") > 0, F.col("decision") == REVIEW
    reason = F.when(is_poor, LOW_QUALITY).when(F.col("is_clustered"), NOVEL).when(is_uncertain, UNCERTAIN)
    reason = reason.when(F.col("similarity") < novel_below, NOVEL)
    reason = reason.when(F.col("audit_weight").isNotNull(), AUDIT)
    if former is not None:
        key = "day", "image_id", "classifier"
        kept = former.select(*key, F.col("reason").alias("former_reason"))
        candidates = candidates.join(kept, [*key], "left")
        reason = F.coalesce(reason, "former_reason")
    reasoned = candidates.withColumn("reason", reason)
    queued = reasoned.where(F.col("reason").isNotNull()).to(parse_schema(SCHEMA))
    return queued.coalesce(1).sortWithinPartitions("day", "confidence")


def describe_review_queue(
    images: StoredRows, novel_below: float, limits: Limits = DEFAULT_LIMITS
) -> Callable[[Rows], dict[Day, Report]]:
    """Reports counts by reason, and a contact sheet of `images` with tiles of every reason, for each day."""

    def describe(review_queue: Rows) -> dict[Day, Report]:
        chosen = choose_tiles(review_queue)
        tiles = draw_tiles_by_day(images, chosen, _caption, limits)
        threshold = {"novel_below": novel_below} if novel_below >= -1 else {}
        return {
            day: Report(
                numbers={**_count_reasons(rows), **threshold},
                images={"contact_sheet": draw_contact_sheet(tiles[day])},
            )
            for day, rows in chosen.items()
        }

    return describe


def choose_tiles(review_queue: Rows) -> dict[Day, list[dict[str, Any]]]:
    """Chooses at most `SHEET_SIZE` rows a day: reasons in turn, the most extreme first.

    Adds `reason_count`, rows of the day with that reason, and `drawn_count`, those with an `audit_weight`. Every reason
    of the day is among the chosen ones.
    """
    chosen = query(_TILES, {"novel": NOVEL, "uncertain": UNCERTAIN, "tiles": SHEET_SIZE}, review_queue=review_queue)
    return by_day(sorted(chosen, key=lambda row: (list(COLOURS).index(row["reason"]), row["rank"])))


def _count_reasons(chosen: Sequence[Record]) -> dict[str, Number]:
    found = {row["reason"]: row["reason_count"] for row in chosen}
    counts = {f"{name.replace(' ', '_')}_count": found.get(name, 0) for name in (LOW_QUALITY, UNCERTAIN, NOVEL)}
    return {**counts, f"{AUDIT}_count": chosen[0]["drawn_count"]}


def _caption(row: ImageRow) -> tuple[str, str]:
    return f"{row['predicted_label']}\n{row['confidence']:.0%} {row['reason']}", COLOURS[row["reason"]]
