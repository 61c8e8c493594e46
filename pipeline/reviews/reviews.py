"""Reviews: what people answered in the forms they sent back, beside what the lake knows of the same pictures.

How forms are read is `filled_forms.py`. Whatever a spreadsheet may have changed is taken from the lake: of a form
itself count which picture, which label, and what the person was told.
"""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.reports.report import Report
from pipeline.reviews.production_accuracy import describe_accuracy
from pipeline.storage.counting import count_by
from pipeline.storage.schema import parse_schema

SCHEMA: Final = """
    day date comment 'the day on which the picture arrived',
    image_id string comment 'SHA-256 of the bytes',
    path string comment 'path of its first file below the folder of the day, from predictions.path; null if unknown',
    predicted_label string comment 'what the classifier had answered when the form was made',
    confidence double comment 'probability of the label that it answers now, from predictions.confidence',
    classifier string comment 'version of the classifier that had answered',
    reason string comment 'why a person was asked, from review_queue.reason; null of a picture outside the queue',
    audit_weight double comment 'from review_queue.audit_weight; null outside the audit',
    label string comment 'what a person says the picture shows, or (none): none of the labels; null if contradictory',
    origin string comment 'the file of the answer, below the folder of the reviews; all of them if contradictory',
    problem string comment 'why the answer is not used; null where it is'
"""
NONE: Final = "(none)"
"""The answer to a picture that shows none of the labels: the classifier was wrong, and there is nothing to learn."""

UNKNOWN: Final = "unknown picture"
"""On this day: the folder of the day was changed and the day run again, or it was never run in this lake."""

CONTRADICTORY: Final = "answered differently"


def match_answers(answers: pa.Table, predictions: DataFrame, review_queue: DataFrame) -> DataFrame:
    """Gives every answered picture of every day one row, lazily, in the columns of `SCHEMA`.

    A label is of the picture: two of them, in one form or on two days, contradict each other, and neither is used. The
    predicted label is the form's, since a day that was run again may have a classifier that learned from the answer;
    where the lake's is still of the same classifier, the lake's, which no spreadsheet has changed.

    Args:
        answers: in `filled_forms.COLUMNS`; where there are none, nothing else is read.
        predictions: of the days that the answers name, as far as they are known.
        review_queue: of the same days.
    """
    spark = predictions.sparkSession
    if not answers.num_rows:
        return spark.createDataFrame([], parse_schema(SCHEMA))
    asked = spark.createDataFrame(answers).withColumn("day", F.explode("days"))
    keys = ["day", "image_id"]
    wanted = predictions.join(F.broadcast(asked.select(keys).distinct()), keys, "left_semi")
    known = wanted.groupBy(keys).agg(
        F.min("path").alias("path"),
        F.any_value("predicted_label").alias("present_label"),
        F.any_value("confidence").alias("confidence"),
        F.any_value("classifier").alias("present_classifier"),
    )
    best_day = Window.partitionBy("file", "line").orderBy(F.col("path").isNull(), "day")
    found = asked.join(known, keys, "left").withColumn("choice", F.row_number().over(best_day)).where("choice = 1")
    labels = F.size(F.collect_set("label").over(Window.partitionBy("image_id")))
    first = {name: F.min_by(name, "file").alias(name) for name in ("told_label", "told_classifier")}
    same = {
        name: F.any_value(name).alias(name)
        for name in ("path", "confidence", "present_label", "present_classifier", "label", "label_count")
    }
    files = F.array_sort(F.collect_set("file")).alias("files")
    rows = found.withColumn("label_count", labels).groupBy(keys).agg(*first.values(), *same.values(), files)
    queued = review_queue.select(*keys, "reason", "audit_weight")
    return rows.join(queued, keys, "left").select(*_columns()).to(parse_schema(SCHEMA))


def tell_problems(reviews: DataFrame) -> list[str]:
    """What is wrong with the answers that are not used, a sentence for each kind of problem."""
    unused = reviews.where(F.col("problem").isNotNull())
    example = F.min(F.struct("origin", "day", "image_id")).alias("example")
    found = unused.groupBy("problem").agg(F.count("*").alias("count"), example).orderBy("problem").collect()
    return [
        f"{row['problem']}: {row['count']} answers, such as {row['example']['image_id']} of {row['example']['day']}"
        f" in {row['example']['origin']!r}"
        for row in found
    ]


def describe_reviews(review_queue: DataFrame) -> Callable[[DataFrame], Report]:
    """How many answers there are, and the accuracy in production, told from the audit alone.

    Args:
        review_queue: of all days, whose audits may not have been answered.
    """

    def describe(reviews: DataFrame) -> Report:
        problems = {row["problem"]: row["count"] for row in count_by(reviews, "problem")}
        accuracy = describe_accuracy(reviews, review_queue)
        counts = {
            "answer_count": sum(problems.values()),
            "unknown_count": problems.get(UNKNOWN, 0),
            "contradictory_count": problems.get(CONTRADICTORY, 0),
        }
        return Report(numbers={**counts, **accuracy.numbers}, tables=accuracy.tables)

    return describe


def _columns() -> list[Column | str]:
    """Those of `SCHEMA`, of an answered picture."""
    is_unknown, differs = F.col("path").isNull(), F.col("label_count") > 1
    is_same = F.col("told_classifier").eqNullSafe(F.col("present_classifier")) | F.col("told_label").isNull()
    problem = F.when(is_unknown, UNKNOWN).when(differs, CONTRADICTORY)
    return [
        *("day", "image_id", "path", "confidence", "reason", "audit_weight"),
        F.when(is_same, F.col("present_label")).otherwise(F.col("told_label")).alias("predicted_label"),
        F.when(is_same, F.col("present_classifier")).otherwise(F.col("told_classifier")).alias("classifier"),
        F.when(~differs, F.col("label")).alias("label"),
        F.when(differs, F.array_join("files", ", ")).otherwise(F.element_at("files", 1)).alias("origin"),
        problem.alias("problem"),
    ]
