"""The daily report: what a day's predictions say to somebody who runs the business, beside the four weeks before.

Plain values. What is counted is `day_counts.py`, the page that they become `daily_report_page.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pyspark.sql import DataFrame, Row

from pipeline.daily.day_counts import (
    BINS,
    DayCounts,
    choose_queued,
    count_confidences,
    count_days,
    count_queued,
    counts_before,
    list_rejected,
)
from pipeline.drift.image_drift import DayDrift, find_drifts, measure_drift, read_reference
from pipeline.drift.label_shift import MixShift, compare_mix, count_answers, count_holdout_answers, oddest_numbers
from pipeline.reports.thumbnails import draw_thumbnails

THUMBNAIL: Final = 168
"""Pixels of a picture's side: half as many again as the page gives it, for sharp screens."""

MOST_BYTES: Final = 500_000
"""Of all pictures of a page, which is a third longer as text."""


@dataclass(frozen=True)
class DayCost:
    """What embedding the pictures of a day took.

    Attributes:
        embedded_count: distinct pictures that were not in the cache.
        cached_count: those that were.
        dollars: at the price of that time; None where nothing was embedded, or nobody noted it.
        cpu_seconds: for these dollars; None as they are.
    """

    embedded_count: int
    cached_count: int
    dollars: float | None
    cpu_seconds: float | None


@dataclass(frozen=True)
class DayReport:
    """What is told of a day.

    Attributes:
        day: the day.
        counts: of the day.
        before: of those of the `USUAL_DAYS` days before it that had files, one of each.
        confidences: answers by confidence, in `BINS` equal bins from 0 to 1.
        rejected: `path` and `error` of the first rejected files, `SHOWN_REJECTED` at most.
        queued: pictures in the review queue, by reason.
        shown: rows of the queue with a picture, `SHOWN_QUEUED` at most.
        images: small JPEGs by `image_id`.
        evaluations: `evaluation.json` of the classifiers that answered, by version; None of one that is gone.
        drift: of the pictures.
        mix: of the answers, by version of the classifier.
        cost: of the features; None where nobody noted it.
    """

    day: date
    counts: DayCounts
    before: Sequence[DayCounts]
    confidences: Sequence[int]
    rejected: Sequence[Row]
    queued: Mapping[str, int]
    shown: Sequence[Row]
    images: Mapping[str, bytes]
    evaluations: Mapping[str, Mapping[str, Any] | None]
    drift: DayDrift
    mix: Sequence[MixShift]
    cost: DayCost | None

    @property
    def usual_files(self) -> float | None:
        """Files of a day before, on average."""
        return sum(each.file_count for each in self.before) / len(self.before) if self.before else None

    def usual_share(self, decision: str) -> float | None:
        """Share of a decision in all files of the days before."""
        total = sum(each.file_count for each in self.before)
        return sum(each.decisions.get(decision, 0) for each in self.before) / total if total else None

    def usual_mix(self) -> dict[str, float]:
        """Share of each label in all answers of the days before; nothing where there were none."""
        labels: Counter[str] = Counter()
        for each in self.before:
            labels.update(each.labels)
        return {label: count / labels.total() for label, count in labels.items()}

    @property
    def alarms(self) -> list[str]:
        """What somebody should look at."""
        drift = [self.drift.told] if self.drift.is_alarm else []
        return drift + [each.told for each in self.mix if each.is_alarm]

    @property
    def numbers(self) -> dict[str, float | int]:
        """To be drawn as lines over the days, of several mixes the least likely; of a check, Dagster draws none."""
        told = {"drift": measure_drift(self.drift), "mix": oddest_numbers(self.mix)}
        lines = {f"{kind}_{name}": value for kind, numbers in told.items() for name, value in numbers.items()}
        return {"alarm_count": len(self.alarms), **lines}


@dataclass(frozen=True)
class DayTables:
    """What reports are told from.

    Attributes:
        history: of `predictions`, the days of the reports and those before them.
        predictions: of the days.
        review_queue: of the days.
        images: of the days.
        image_features: of the days.
        training_features: all.
    """

    history: DataFrame
    predictions: DataFrame
    review_queue: DataFrame
    images: DataFrame
    image_features: DataFrame
    training_features: DataFrame


def make_reports(
    days: Sequence[str],
    tables: DayTables,
    evaluate: Callable[[str], Mapping[str, Any] | None],
    find_cost: Callable[[str], DayCost | None],
) -> Iterator[DayReport]:
    """Makes the report of every day, one after the other; days are counted together, and their pictures read at once.

    Args:
        days: as YYYY-MM-DD.
        tables: of these days.
        evaluate: from the version of a classifier to its `evaluation.json`, or None.
        find_cost: from a day to what its features took, or None.
    """
    counts, confidences = count_days(tables.history), count_confidences(tables.predictions)
    rejected, queued = list_rejected(tables.predictions), count_queued(tables.review_queue)
    chosen = choose_queued(tables.review_queue)
    small = draw_thumbnails(tables.images, {row["image_id"] for rows in chosen.values() for row in rows}, THUMBNAIL)
    answers = count_answers(tables.predictions)
    drifts = find_drifts(days, tables.image_features, read_reference(tables.training_features))
    for text, drift in zip(days, drifts, strict=True):
        day = date.fromisoformat(text)
        found = counts.get(day, DayCounts())
        evaluations = {version: evaluate(version) for version in found.classifiers}
        mixes = [
            compare_mix(text, labels, count_holdout_answers(evaluations[version]))
            for (answered_day, version), labels in answers.items()
            if answered_day == text
        ]
        yield DayReport(
            day,
            found,
            counts_before(counts, day),
            confidences.get(day, [0] * BINS),
            rejected.get(day, []),
            queued.get(day, {}),
            chosen.get(day, []),
            _take_pictures(chosen.get(day, []), small),
            evaluations,
            drift,
            mixes,
            find_cost(text),
        )


def _take_pictures(chosen: Sequence[Row], small: Mapping[str, bytes]) -> dict[str, bytes]:
    """Small pictures by `image_id`, in their order, as many as `MOST_BYTES` hold."""
    taken, total = {}, 0
    for row in chosen:
        if picture := small.get(row["image_id"]):
            total += len(picture)
            if total > MOST_BYTES:
                break
            taken[row["image_id"]] = picture
    return taken
