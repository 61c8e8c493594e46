"""The review queue: images of low quality, uncertain and novel images and a random audit sample of each day."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from pyspark.sql.types import StructType

from pipeline.daily.predictions import REVIEW, SHEET_SIZE
from pipeline.daily.predictions import SCHEMA as PREDICTIONS_SCHEMA
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.reports.contact_sheet import ImageRow, draw_contact_sheet, draw_tiles_by_day
from pipeline.reports.palette import BAD, DOUBTFUL, GOOD, INK
from pipeline.reports.portable_query import PortableQuery
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Number, Report
from pipeline.reviews.audit import DRAWN, AuditSize
from pipeline.similarity.novelty import SCHEMA as NOVELTY_SCHEMA
from pipeline.similarity.novelty import Reference, find_novel, measure_similarity
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.picked_rows import is_small
from pipeline.storage.rows import LazyRows, SmallRows
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
_PREDICTED: Final = (
    *("day", "image_id", "path", "predicted_label", "confidence"),
    *("decision", "classifier", "quality_flags", "is_clustered"),
)
NO_SIMILARITIES: Final = to_arrow_schema(parse_schema(NOVELTY_SCHEMA)).empty_table()
_QUEUE: Final = """
    WITH candidates AS (
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY day, image_id ORDER BY path) AS place
            FROM {predictions} WHERE predicted_label IS NOT NULL
        ) AS files WHERE place = 1
    ), drawn AS ([drawn]), reasoned AS (
        SELECT drawn.*, compared.similarity, compared.nearest_image_id, CASE
            WHEN array_size(drawn.quality_flags) > 0 THEN $low_quality
            WHEN drawn.is_clustered THEN $novel
            WHEN drawn.decision = $review THEN $uncertain
            WHEN compared.similarity < $novel_below THEN $novel
            WHEN drawn.audit_weight IS NOT NULL THEN $audit
            ELSE queued.reason END AS why
        FROM drawn
        LEFT JOIN {similarities} AS compared ON compared.day = drawn.day AND compared.image_id = drawn.image_id
        LEFT JOIN {former} AS queued ON queued.day = drawn.day AND queued.image_id = drawn.image_id
            AND queued.classifier = drawn.classifier
    )
    SELECT day, image_id, path, predicted_label, confidence, why AS reason, similarity, audit_weight, classifier,
        quality_flags, nearest_image_id
    FROM reasoned WHERE why IS NOT NULL ORDER BY day, confidence, image_id
""".replace("[drawn]", DRAWN)
_TILES: Final = """
    SELECT *, count(audit_weight) OVER (PARTITION BY day) AS drawn_count FROM (
        SELECT *, count(*) OVER same AS reason_count, row_number() OVER (same ORDER BY
            CASE reason WHEN $novel THEN similarity WHEN $uncertain THEN confidence END, image_id) AS rank
        FROM review_queue WINDOW same AS (PARTITION BY day, reason)
    ) QUALIFY row_number() OVER (PARTITION BY day ORDER BY rank, reason) <= $tiles
"""
COLOURS: Final = {LOW_QUALITY: BAD, UNCERTAIN: DOUBTFUL, NOVEL: INK, AUDIT: GOOD}


def make_queue(
    predictions: StoredRows, features: StoredRows, reference: Reference, audit_size: AuditSize, former: StoredRows
) -> SmallRows | LazyRows:
    """Queues the images to review: at once on the driver of few files, lazily by workers of more.

    Args:
        predictions: predictions of one or more days.
        features: features of the same days.
        reference: training images that they are compared with.
        audit_size: size of each day's sample.
        former: queue of the same days from an earlier run; rows of another classifier do not count.

    Raises:
        OtherBackboneError: if the features are of another backbone than the reference.
    """
    query, predicted = plan_queue(reference.threshold, audit_size), narrow_predictions(predictions)
    if not (is_small(predictions) and is_small(features)):
        similarities = measure_similarity(features, reference)
        return query.run_in_spark(predictions.spark, predictions=predicted, similarities=similarities, former=former)
    queued = query.run_on_driver(predictions=predicted, similarities=NO_SIMILARITIES, former=former).table
    novel = find_novel(features, reference, queued["image_id"])
    return query.run_on_driver(predictions=predicted, similarities=novel, former=former)


def plan_queue(novel_below: float, audit_size: AuditSize) -> PortableQuery:
    """Plans the query for the images to review in the columns of `SCHEMA`; of equal images the first file.

    `reason` is the first that applies. The audit is drawn from all predicted images, regardless of other reasons, so
    others can have an `audit_weight` too. While a day grows, its queue only grows: an image that was queued stays, and
    one that leaves the sample, which is always of the whole day, stays without an `audit_weight`.

    Its tables are `predictions`, of `narrow_predictions`; `similarities`, in the columns of `novelty.SCHEMA`; and
    `former`, the queue of an earlier run.

    Args:
        novel_below: similarity below which an image is novel.
        audit_size: size of each day's sample.
    """
    reasons = {"low_quality": LOW_QUALITY, "novel": NOVEL, "uncertain": UNCERTAIN, "audit": AUDIT, "review": REVIEW}
    parameters = {**reasons, **audit_size.parameters, "novel_below": novel_below}
    return PortableQuery(_QUEUE, parse_schema(SCHEMA), parameters)


def narrow_predictions(predictions: StoredRows) -> StoredRows:
    """Predictions in the columns that the queue needs; an earlier version made them without some of these."""
    return predictions.narrow(StructType([parse_schema(PREDICTIONS_SCHEMA)[name] for name in _PREDICTED]))


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
