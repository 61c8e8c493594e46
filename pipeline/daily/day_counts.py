"""Counts and examples of a daily report: decisions, labels, confidences, rejected files and queued images.

Spark counts all days of a run at once; only a few rows a day reach the driver.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.daily.predictions import ANSWERED, REJECTED, REVIEW
from pipeline.images.sidecar_files import SIDECAR
from pipeline.storage.counting import Day, by_day

USUAL_DAYS: Final = 28  # days before a report's day that it is compared with
BINS: Final = 20  # bars of the confidence histogram
SHOWN_REJECTED: Final = 12
SHOWN_QUEUED: Final = 36
_COUNTED: Final = ("day", "decision", "predicted_label", "error", "classifier", "quality_flags")


@dataclass
class DayCounts:
    """Files of a day by decision, by predicted label, by reason of rejection, and by version of the classifier.

    Sidecar files are counted apart, and nowhere else.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    classifiers: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)  # quality flags of images with a prediction
    sidecar_count: int = 0
    near_duplicate_count: int = 0  # files whose image was sent before in another encoding or size

    @property
    def file_count(self) -> int:
        """Files with any decision, sidecar files aside."""
        return sum(self.decisions.values())

    @property
    def predicted_count(self) -> int:
        """Files with a predicted label."""
        return self.decisions[ANSWERED] + self.decisions[REVIEW]


def with_days_before(days: Sequence[str]) -> list[str]:
    """Adds the `USUAL_DAYS` before each day; days are YYYY-MM-DD, the result is sorted."""
    wanted = {date.fromisoformat(day) - timedelta(ago) for day in days for ago in range(USUAL_DAYS + 1)}
    return sorted(str(day) for day in wanted)


def count_predictions(predictions: DataFrame) -> dict[date, DayCounts]:
    """Counts the files of each day in one Spark job."""
    counts: dict[date, DayCounts] = {}
    counted = predictions.groupBy(*_COUNTED).agg(
        F.count("*").alias("count"), F.count("near_duplicate_of").alias("near_duplicate_count")
    )
    for row in counted.collect():
        day = counts.setdefault(row["day"], DayCounts())
        if row["error"] == SIDECAR:
            day.sidecar_count += row["count"]
            continue
        counters = ((day.decisions, "decision"), (day.labels, "predicted_label"), (day.classifiers, "classifier"))
        for counter, name in counters:
            if row[name] is not None:
                counter[row[name]] += row["count"]
        day.near_duplicate_count += row["near_duplicate_count"]
        day.flags.update(dict.fromkeys(row["quality_flags"] or (), row["count"]))
        if row["decision"] == REJECTED:
            day.reasons[row["error"]] += row["count"]
    return counts


def counts_before(counts: Mapping[date, DayCounts], day: date) -> list[DayCounts]:
    """Selects the counts of those of the `USUAL_DAYS` before a day that had files."""
    near = [each for other, each in counts.items() if timedelta() < day - other <= timedelta(USUAL_DAYS)]
    return [each for each in near if each.file_count]


def count_confidences(predictions: DataFrame) -> dict[date, list[int]]:
    """Counts predictions by day and confidence, in `BINS` equal bins from 0 to 1."""
    place = F.least(F.floor(F.col("confidence") * BINS), F.lit(BINS - 1)).cast("int").alias("bin")
    bins: dict[date, list[int]] = {}
    for row in predictions.where("confidence is not null").groupBy("day", place).count().collect():
        bins.setdefault(row["day"], [0] * BINS)[row["bin"]] = row["count"]
    return bins


def list_rejected(predictions: DataFrame) -> dict[Day, list[Row]]:
    """Lists `path` and `error` of the first `SHOWN_REJECTED` rejected files of each day, by path; no sidecar files."""
    rank = F.row_number().over(Window.partitionBy("day").orderBy("path"))
    is_rejected = (F.col("decision") == REJECTED) & (F.col("error") != SIDECAR)
    rejected = predictions.where(is_rejected).select("day", "path", "error")
    first = rejected.withColumn("rank", rank).where(F.col("rank") <= SHOWN_REJECTED)
    return by_day(sorted(first.collect(), key=lambda row: row["rank"]))


def choose_queued(review_queue: DataFrame) -> dict[Day, list[Row]]:
    """Chooses the `SHOWN_QUEUED` least confident images of each day's queue, taking reasons in turn.

    Adds `reason_count`: images queued for that reason. Every reason of the day is among the chosen ones.
    """
    same = Window.partitionBy("day", "reason")
    turn, reason_count = F.row_number().over(same.orderBy("confidence", "image_id")), F.count("*").over(same)
    ranked = review_queue.withColumns({"turn": turn, "reason_count": reason_count})
    rank = F.row_number().over(Window.partitionBy("day").orderBy("turn", "reason"))
    first = ranked.withColumn("rank", rank).where(F.col("rank") <= SHOWN_QUEUED)
    return by_day(sorted(first.collect(), key=lambda row: row["rank"]))
