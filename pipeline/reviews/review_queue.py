"""The review queue: the pictures of a day that a person should look at: uncertain, novel, or drawn for the audit.

How the sample is drawn is `audit.py`, what is novel `novelty.py`; the file that a person fills in is `review_form.py`.
"""

from collections.abc import Callable
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.daily.predictions import REVIEW, SHEET_SIZE
from pipeline.reports.contact_sheet import draw_contact_sheet, read_tiles_by_day
from pipeline.reports.palette import DOUBTFUL, GOOD, INK
from pipeline.reports.report import Report
from pipeline.reviews.audit import AuditSize, draw_audit
from pipeline.storage.counting import Day, by_day
from pipeline.storage.schema import parse_schema

SCHEMA: Final = """
    day date comment 'the day on which the picture arrived, from predictions.day',
    image_id string comment 'SHA-256 of the bytes, from predictions.image_id',
    path string comment 'path of its first file below the folder of the day, from predictions.path',
    predicted_label string comment 'what the classifier would answer, from predictions.predicted_label',
    confidence double comment 'probability of the predicted label, from predictions.confidence',
    reason string comment 'why a person should look: uncertain, from predictions.decision, else novel, else audit',
    similarity double comment 'nearest cosine, from image_features.features and training_features.features; or null',
    audit_weight double comment 'of the audit: pictures of the day that this one stands for; null outside the sample',
    classifier string comment 'version of the classifier that answered, from predictions.classifier'
"""
UNCERTAIN: Final = "uncertain"
NOVEL: Final = "novel"
AUDIT: Final = "audit"
COLOURS: Final = {UNCERTAIN: DOUBTFUL, NOVEL: INK, AUDIT: GOOD}


def queue_for_review(
    predictions: DataFrame, similarities: DataFrame, novel_below: float, audit_size: AuditSize
) -> DataFrame:
    """Picks the first file of every picture that a person should look at, lazily, in the columns of `SCHEMA`.

    `reason` is the first that holds. The audit is drawn from all pictures that have an answer, before anything is known
    of the other reasons: `audit_weight` says who is in it, the uncertain and the novel too.

    Args:
        predictions: of one day or more.
        similarities: in the columns of `novelty.SCHEMA`, of the same days.
        novel_below: similarity under which a picture is novel.
        audit_size: of the sample of each day.
    """
    first_path = Window.partitionBy("day", "image_id").orderBy("path")
    answered = predictions.where(F.col("predicted_label").isNotNull())
    pictures = answered.withColumn("order", F.row_number().over(first_path)).where("order = 1")
    known = draw_audit(pictures, audit_size).join(similarities, ["day", "image_id"], "left")
    reason = (
        F.when(F.col("decision") == REVIEW, UNCERTAIN)
        .when(F.col("similarity") < novel_below, NOVEL)
        .when(F.col("audit_weight").isNotNull(), AUDIT)
    )
    return (
        known.withColumn("reason", reason)
        .where(F.col("reason").isNotNull())
        .to(parse_schema(SCHEMA))
        .coalesce(1)
        .sortWithinPartitions("day", "confidence")
    )


def describe_review_queue(images: DataFrame, novel_below: float) -> Callable[[DataFrame], dict[Day, Report]]:
    """Counts by reason, and a contact sheet on which every reason has its share of the tiles, of every day.

    Args:
        images: of the same days, for the pictures of the sheet.
        novel_below: similarity under which a picture is novel.
    """

    def describe(review_queue: DataFrame) -> dict[Day, Report]:
        reasons = {f"{name}_count": F.count_if(F.col("reason") == name) for name in (UNCERTAIN, NOVEL)}
        reasons[f"{AUDIT}_count"] = F.count("audit_weight")
        counts = review_queue.groupBy("day").agg(*(column.alias(name) for name, column in reasons.items())).collect()
        tiles = read_tiles_by_day(images, choose_tiles(review_queue), _caption)
        threshold = {"novel_below": novel_below} if novel_below >= -1 else {}
        return {
            row["day"]: Report(
                numbers={**{name: row[name] for name in reasons}, **threshold},
                images={"contact_sheet": draw_contact_sheet(tiles[row["day"]])},
            )
            for row in counts
        }

    return describe


def choose_tiles(review_queue: DataFrame) -> dict[Day, list[Row]]:
    """At most `SHEET_SIZE` rows of every day, as many of each reason as can be, in their order; the most striking."""
    strikes = F.when(F.col("reason") == NOVEL, F.col("similarity")).when(
        F.col("reason") == UNCERTAIN, F.col("confidence")
    )
    rank = F.row_number().over(Window.partitionBy("day", "reason").orderBy(strikes, "image_id"))
    turn = F.row_number().over(Window.partitionBy("day").orderBy("rank", "reason"))
    chosen = review_queue.withColumn("rank", rank).withColumn("turn", turn).where(F.col("turn") <= SHEET_SIZE)
    return by_day(sorted(chosen.collect(), key=lambda row: (list(COLOURS).index(row["reason"]), row["rank"])))


def _caption(row: Row) -> tuple[str, str]:
    return f"{row['predicted_label']}\n{row['confidence']:.0%} {row['reason']}", COLOURS[row["reason"]]
