"""Reviews: human answers from filled forms, joined with the stored predictions of the same images.

Only the image, the label and the shown prediction come from a form, because a spreadsheet may have altered the rest.
"""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.reports.report import Report
from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL
from pipeline.reviews.production_accuracy import describe_accuracy
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import count_by
from pipeline.storage.local_frames import make_frame

SCHEMA: Final = """
    day date comment 'day the image arrived; null for a labelled image',
    image_id string comment 'SHA-256 of the bytes',
    path string comment 'path of its first file below the folder of the day, from predictions.path; null if unknown',
    predicted_label string comment 'label predicted when the form was made',
    confidence double comment 'probability of the currently predicted label, from predictions.confidence',
    classifier string comment 'version of the classifier when the form was made',
    reason string comment 'why the image was queued, from review_queue.reason; null outside the queue',
    audit_weight double comment 'from review_queue.audit_weight; null outside the audit',
    label string comment 'human label; (none) if no label fits; null if there is a problem',
    origin string comment 'form below the folder of reviews, or review page; all of them if contradictory',
    problem string comment 'why the answer is not used; null if used',
    reviewer string comment 'names of those who answered on the page; null in forms',
    answered_at timestamp comment 'time of the last answer on the page; null in forms',
    disagreement string comment 'who said what, where labels are contradictory; else null'
"""
UNKNOWN: Final = "unknown image"  # no prediction on this day: it changed since, or was never run in this lake
CONTRADICTORY: Final = "contradictory labels"
SET_ASIDE: Final = {CANNOT_TELL: "cannot tell", BAD_IMAGE: "bad image"}
"""Problems that a person chose, by what they answered; nobody has to mend them."""


def match_answers(answers: pa.Table, predictions: DataFrame, review_queue: DataFrame) -> DataFrame:
    """Joins answers with predictions, lazily: one row per answered image and day, in the columns of `SCHEMA`.

    Labels belong to images: two different ones, in one form or on two days, are contradictory and neither is used;
    `CANNOT_TELL` contradicts nothing. An answer about a labelled image has the day null, and is used as it is. The
    predicted label comes from the lake if the classifier is still the same. Otherwise it comes from the form, because
    the day was run again, possibly with a classifier trained on this answer.

    Args:
        answers: rows in `filled_forms.COLUMNS`; if empty, nothing else is read.
        predictions: stored predictions of the answers' days.
        review_queue: queue of the same days.
    """
    spark = predictions.sparkSession
    if not answers.num_rows:
        return make_frame(spark, parse_schema(SCHEMA))
    answered = spark.createDataFrame(answers).withColumn("day", F.explode("days"))
    keys = ["day", "image_id"]
    wanted = predictions.join(F.broadcast(answered.select(keys).distinct()), keys, "left_semi")
    current = {"predicted_label": "current_label", "confidence": "confidence", "classifier": "current_classifier"}
    shown = [F.any_value(name).alias(alias) for name, alias in current.items()]
    known = wanted.groupBy(keys).agg(F.min("path").alias("path"), *shown)
    best_day = Window.partitionBy("file", "line").orderBy(F.col("path").isNull(), "day")
    found = answered.join(known, keys, "left").withColumn("choice", F.row_number().over(best_day)).where("choice = 1")
    of_image, definite = Window.partitionBy("image_id"), F.when(F.col("label") != CANNOT_TELL, F.col("label"))
    said = F.concat_ws(": ", F.coalesce("reviewer", "file"), "label")
    judged = found.withColumns(
        {
            "label_count": F.size(F.collect_set(definite).over(of_image)),
            "label": F.coalesce(F.max(definite).over(of_image), F.lit(CANNOT_TELL)),
            "said": F.array_join(F.array_sort(F.collect_set(said).over(of_image)), "; "),
        }
    )
    first = [F.min_by(name, "file").alias(name) for name in ("form_label", "form_classifier")]
    same = ("path", "confidence", "current_label", "current_classifier", "label", "label_count", "said")
    sets = [F.array_sort(F.collect_set(name)).alias(f"{name}s") for name in ("file", "reviewer")]
    last = F.max("answered_at").alias("answered_at")
    rows = judged.groupBy(keys).agg(*first, *(F.any_value(name).alias(name) for name in same), *sets, last)
    queued = review_queue.select(*keys, "reason", "audit_weight")
    return rows.join(queued, keys, "left").select(*_columns()).to(parse_schema(SCHEMA))


def list_problems(reviews: DataFrame) -> list[str]:
    """Describes the unused answers, one sentence per problem."""
    unused = reviews.where(~F.col("problem").isin(*SET_ASIDE.values())).groupBy("problem")
    example = F.min(F.struct("origin", "day", "image_id")).alias("example")
    found = unused.agg(F.count("*").alias("count"), example).select("problem", "count", "example.*").orderBy("problem")
    return [
        f"{row['problem']}: {row['count']} answers, for example {row['image_id']} of {row['day']} in {row['origin']!r}"
        for row in found.collect()
    ]


def describe_reviews(review_queue: DataFrame) -> Callable[[DataFrame], Report]:
    """Reports counts of answers, and the production accuracy; `review_queue` has all days, with or without answers."""

    def describe(reviews: DataFrame) -> Report:
        problems = {row["problem"]: row["count"] for row in count_by(reviews, "problem")}
        accuracy = describe_accuracy(reviews, review_queue)
        counts = {
            "answer_count": sum(problems.values()),
            "unknown_count": problems.get(UNKNOWN, 0),
            "contradictory_count": problems.get(CONTRADICTORY, 0),
            "set_aside_count": sum(problems.get(problem, 0) for problem in SET_ASIDE.values()),
        }
        return Report(numbers={**counts, **accuracy.numbers}, tables=accuracy.tables)

    return describe


def _columns() -> list[Column | str]:
    """Columns of `SCHEMA` for an answered image."""
    is_unknown, differs = F.col("path").isNull() & F.col("day").isNotNull(), F.col("label_count") > 1
    is_same = F.col("form_classifier").eqNullSafe(F.col("current_classifier")) | F.col("form_label").isNull()
    problem = F.when(is_unknown, UNKNOWN).when(differs, CONTRADICTORY)
    for answer, reason in SET_ASIDE.items():
        problem = problem.when(F.col("label") == answer, reason)
    is_label = ~differs & ~F.col("label").isin(*SET_ASIDE)
    return [
        *("day", "image_id", "path", "confidence", "reason", "audit_weight"),
        F.when(is_same, F.col("current_label")).otherwise(F.col("form_label")).alias("predicted_label"),
        F.when(is_same, F.col("current_classifier")).otherwise(F.col("form_classifier")).alias("classifier"),
        F.when(is_label, F.col("label")).alias("label"),
        F.when(differs, F.array_join("files", ", ")).otherwise(F.element_at("files", 1)).alias("origin"),
        problem.alias("problem"),
        F.when(F.size("reviewers") > 0, F.array_join("reviewers", ", ")).alias("reviewer"),
        "answered_at",
        F.when(differs, F.col("said")).alias("disagreement"),
    ]
