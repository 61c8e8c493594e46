"""Reviews: what people answered in the forms they sent back, beside what the lake knows of the same pictures.

How forms are read is `filled_forms.py`. Whatever a spreadsheet may have changed is taken from the lake: of a form
itself count which picture, which label, and what the person was told.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.audit import Stratum, estimate_accuracy
from pipeline.report import Number, Report, count_by, markdown_table
from pipeline.schema import parse_schema

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

SHOWN_DAYS: Final = 14


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
        audits = _describe_audits(_collect_audits(reviews, review_queue))
        counts = {
            "answer_count": sum(problems.values()),
            "unknown_count": problems.get(UNKNOWN, 0),
            "contradictory_count": problems.get(CONTRADICTORY, 0),
        }
        return Report(numbers={**counts, **audits.numbers}, tables=audits.tables)

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


@dataclass(frozen=True)
class _Audit:
    """The sample of a day, or what one of its classifiers had answered of it."""

    day: date
    classifier: str | None
    picture_count: float
    drawn_count: int
    answered_count: int
    right_count: int

    @property
    def stratum(self) -> Stratum:
        return Stratum(self.picture_count, self.answered_count, self.right_count)


def _collect_audits(reviews: DataFrame, review_queue: DataFrame) -> list[_Audit]:
    """One for every day and classifier; those of a day share its pictures and its sample by their answers."""
    answers = reviews.where("problem is null and audit_weight is not null").groupBy("day", "classifier")
    is_right = F.col("label").eqNullSafe(F.col("predicted_label"))
    counted = answers.agg(F.count("*").alias("answered"), F.count_if(is_right).alias("right"))
    samples = review_queue.where(F.col("audit_weight").isNotNull()).groupBy("day")
    drawn = samples.agg(F.count("*").alias("drawn"), F.sum("audit_weight").alias("pictures"))
    rows = drawn.join(counted, "day", "left").orderBy("day", "classifier").collect()
    answered_counts: Counter[date] = Counter()
    for row in rows:
        answered_counts[row["day"]] += row["answered"] or 0
    audits = []
    for row in rows:
        answered, all_answered = row["answered"] or 0, answered_counts[row["day"]]
        part = answered / all_answered if all_answered else 1.0
        audits.append(
            _Audit(row["day"], row["classifier"], row["pictures"] * part, row["drawn"], answered, row["right"] or 0)
        )
    return audits


def _describe_audits(audits: Sequence[_Audit]) -> Report:
    """The accuracy over all days with answers, and how many of those who were asked for one gave it."""
    answered = [each for each in audits if each.answered_count]
    accuracy = estimate_accuracy([each.stratum for each in answered])
    numbers: dict[str, Number] = {
        "audited_count": sum(each.answered_count for each in answered),
        "audited_day_count": len({each.day for each in answered}),
        "unanswered_day_count": len({each.day for each in audits} - {each.day for each in answered}),
    }
    if accuracy is None:
        return Report(numbers)
    drawn = {each.day: each.drawn_count for each in answered}
    numbers |= {
        "production_accuracy": accuracy.share,
        "production_accuracy_low": accuracy.low,
        "production_accuracy_high": accuracy.high,
        "response_share": numbers["audited_count"] / sum(drawn.values()),
    }
    latest = sorted(drawn)[-SHOWN_DAYS:]
    by_day = {str(day): [each for each in answered if each.day == day] for day in latest}
    versions = list(dict.fromkeys(each.classifier for each in answered))[-SHOWN_DAYS:]
    by_classifier = {str(name)[:12]: [each for each in answered if each.classifier == name] for name in versions}
    return Report(
        numbers,
        tables={
            "accuracy_by_day": _table("day", by_day),
            "accuracy_by_classifier": _table("classifier", by_classifier),
        },
    )


def _table(title: str, audits: Mapping[str, Sequence[_Audit]]) -> str:
    """A row for each group, with its accuracy and the 95 % interval of that."""
    rows = []
    for name, group in audits.items():
        accuracy = estimate_accuracy([each.stratum for each in group])
        drawn = {each.day: each.drawn_count for each in group}
        counts = [round(sum(each.picture_count for each in group)), sum(drawn.values())]
        counts.append(sum(each.answered_count for each in group))
        shares = (accuracy.share, accuracy.low, accuracy.high) if accuracy else ()
        rows.append([name, *counts, *(f"{share:.1%}" for share in shares)])
    return markdown_table([title, "pictures", "drawn", "answered", "accuracy", "at least", "at most"], rows)
