"""How hard a day is for the classifier: its estimated accuracy, and the threshold that keeps the target precision.

No label of the day is used. Small days are estimated together with the days before them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import calibrate_mixture, mix
from pipeline.reports.report import Report
from pipeline.storage.counting import Day
from pipeline.storage.schema import parse_schema
from pipeline.training.classifier import Classifier, predict_at

SCHEMA: Final = """
    day date comment 'the day',
    classifier string comment 'version of the classifier',
    row_count bigint comment 'rows of image_features of the day',
    image_count bigint comment 'distinct images of the day that have features',
    pooled_count bigint comment 'images that the estimate rests on: those of the day, and of days before a small day',
    first_day date comment 'first of these days',
    mean_confidence double comment 'their mean confidence before calibration, 0 to 1; null without images',
    state string comment 'estimated, or unknown: then every prediction goes to review',
    accuracy double comment 'estimated share of right predictions, 0 to 1; null where it is unknown',
    accuracy_low double comment 'lower end of its 95 % interval',
    accuracy_high double comment 'upper end of its 95 % interval',
    easier_level int comment 'number of the easier cross-fit of the mixture, 0 for random folds',
    harder_share double comment 'share of the next harder cross-fit, 0 to 1',
    temperature double comment 'divisor of the logits of the day',
    threshold double comment 'minimum confidence of an answered prediction; null if none is answered',
    target_precision double comment 'required precision of the answered predictions, 0 to 1',
    summary string comment 'the result in plain English'
"""
ESTIMATED: Final = "estimated"
UNKNOWN: Final = "unknown"
POOLED_IMAGES: Final = 200  # images of an estimate; a smaller day takes images of the days before it
POOLED_DAYS: Final = 14  # at most, the day itself included
SAME: Final = 0.01  # of accuracy, too little to mention
MIN_IMAGES: Final = 20  # below which nothing is estimated
Z: Final = 1.96  # standard errors on either side of a 95 % interval
ALL_REVIEWED: Final = ", so every prediction goes to review"


@dataclass(frozen=True)
class Confidence:
    """Count, sum and sum of squares of the confidences of some images, before calibration."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Confidence") -> "Confidence":
        """Joins the confidences of two sets of images."""
        return Confidence(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean confidence, 0 to 1."""
        return self.total / self.count

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(max(0.0, self.squares / self.count - self.mean**2) / self.count))


@dataclass(frozen=True)
class Difficulty:
    """One row of `difficulty`; its columns are described in `SCHEMA`."""

    day: date
    classifier: str
    row_count: int
    image_count: int
    pooled_count: int
    first_day: date
    mean_confidence: float | None = None
    state: str = UNKNOWN
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    easier_level: int | None = None
    harder_share: float | None = None
    temperature: float = 1.0
    threshold: float | None = None
    target_precision: float = 0.95
    summary: str = ""


def list_pooled(day: date, counts: Mapping[date, int]) -> list[date]:
    """Lists the days of an estimate, newest first: the day, and days before it until there are enough images."""
    days, total = [day], counts.get(day, 0)
    while total < POOLED_IMAGES and len(days) < POOLED_DAYS:
        days.append(days[-1] - timedelta(days=1))
        total += counts.get(days[-1], 0)
    return days


def measure_confidence(features: DataFrame, classifier: Classifier) -> dict[date, Confidence]:
    """Measures the confidence of each day, before calibration.

    Args:
        features: rows of `image_features` of some days.
        classifier: the classifier.
    """
    predicted = predict_at(features, classifier, 1.0).groupBy("day")
    rows = predicted.agg(
        F.count("*").alias("count"),
        F.sum("confidence").alias("total"),
        F.sum(F.col("confidence") ** 2).alias("squares"),
    ).collect()
    return {row["day"]: Confidence(row["count"], row["total"], row["squares"]) for row in rows}


def estimate_difficulty(
    day: date,
    row_counts: Mapping[date, int],
    measured: Mapping[date, Confidence],
    classifier: Classifier,
    levels: Sequence[LabelledPredictions],
) -> Difficulty:
    """Estimates how hard a day is.

    Args:
        day: the day.
        row_counts: rows of `image_features` by day.
        measured: confidences by day, of the days of `list_pooled` at least.
        classifier: the classifier.
        levels: its cross-fits, the easiest first; none if it was fitted without.
    """
    pooled = list_pooled(day, row_counts)
    found = sum((measured.get(each, Confidence()) for each in pooled), Confidence())
    own, target = measured.get(day, Confidence()).count, classifier.calibration.target_precision
    row = Difficulty(
        *(day, classifier.version, row_counts.get(day, 0), own, found.count, min(pooled)), target_precision=target
    )
    if found.count:
        row = replace(row, mean_confidence=found.mean)
    if not levels or len(levels[0]) == 0:
        return replace(row, summary=f"The classifier has no cross-fit to estimate the day by{ALL_REVIEWED}")
    if found.count < MIN_IMAGES:
        few = f"{found.count} images since {row.first_day} are too few to estimate how hard the day is"
        return replace(row, summary=f"{few}{ALL_REVIEWED}")
    mixture = mix(levels, found.mean)
    calibration, accuracy = calibrate_mixture(levels, mixture, target)
    low, high = (
        calibrate_mixture(levels, mix(levels, found.mean + sign * Z * found.error), target)[1] for sign in (-1, 1)
    )
    chance = Z * np.sqrt(accuracy * (1 - accuracy) / max(own, 1))
    if mixture.is_beyond:
        return replace(
            row, summary=f"This day is harder than what the training set can be used to estimate{ALL_REVIEWED}"
        )
    return replace(
        row,
        state=ESTIMATED,
        accuracy=accuracy,
        accuracy_low=max(0.0, accuracy - float(np.hypot(accuracy - low, chance))),
        accuracy_high=min(1.0, accuracy + float(np.hypot(high - accuracy, chance))),
        easier_level=mixture.easier,
        harder_share=mixture.share,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
        summary=_summarize(accuracy, calibration, levels),
    )


def _summarize(accuracy: float, calibration: Calibration, levels: Sequence[LabelledPredictions]) -> str:
    usual = float(levels[0].is_right.mean())
    harder = f"This day is harder than the training set (there {usual:.0%} are right)"
    kind = "This day is as easy as the training set" if accuracy >= usual - SAME else harder
    right = f"{kind}: about {accuracy:.0%} would be right if all were answered"
    if calibration.threshold is None:
        return f"{right}, and no confidence reaches {calibration.target_precision:.0%}{ALL_REVIEWED}"
    return f"{right}; those from confidence {calibration.threshold:.2f} on are answered"


def store_difficulties(spark: SparkSession, found: Sequence[Difficulty]) -> DataFrame:
    """Makes the rows of the table, in the columns of `SCHEMA`."""
    schema = parse_schema(SCHEMA)
    rows = [tuple(asdict(each)[name] for name in schema.names) for each in found]
    return spark.createDataFrame(rows, schema).coalesce(1)


def read_difficulties(table: DataFrame) -> list[Difficulty]:
    """Collects the rows of the table by day."""
    return [Difficulty(**row.asDict()) for row in table.orderBy("day").collect()]


def describe_difficulty(table: DataFrame) -> dict[Day, Report]:
    """Reports the estimate of each day, in a sentence and as numbers."""
    reports: dict[Day, Report] = {}
    for each in read_difficulties(table):
        numbers = {
            "estimated_accuracy": each.accuracy,
            "accuracy_low": each.accuracy_low,
            "accuracy_high": each.accuracy_high,
            "mean_confidence": each.mean_confidence,
            "threshold": each.threshold,
            "pooled_count": each.pooled_count,
        }
        known = {name: number for name, number in numbers.items() if number is not None}
        reports[each.day] = Report(known, texts={"promise": each.summary, "state": each.state})
    return reports
