"""The daily report as plain values: a day's predictions compared with the four weeks before."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import pyarrow as pa

from pipeline.daily.day_counts import (
    BINS,
    DayCounts,
    choose_queued,
    count_confidences,
    count_predictions,
    counts_before,
    list_rejected,
)
from pipeline.daily.difficulty_table import read_difficulties
from pipeline.drift.comparison import Comparison, read_comparisons
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.reports.queries import Record, Rows
from pipeline.reports.thumbnails import draw_thumbnails
from pipeline.storage.stored_rows import StoredRows

THUMBNAIL: Final = 168  # pixels of a thumbnail's side: 1.5 times its size on the page, for high-density screens
MAX_BYTES: Final = 500_000  # of all thumbnails on a page, before base64 adds a third


@dataclass(frozen=True)
class DayCost:
    """Cost of embedding the distinct images of a day."""

    embedded_count: int
    cached_count: int
    dollars: float | None  # at the price of that time; None if nothing was embedded or recorded
    cpu_seconds: float | None  # None if `dollars` is None


@dataclass(frozen=True)
class DayReport:
    """Everything that the page of a day shows."""

    day: date
    counts: DayCounts
    before: Sequence[DayCounts]  # each of the `USUAL_DAYS` before it that had files
    confidences: Sequence[int]  # predictions by confidence, in `BINS` equal bins from 0 to 1
    rejected: Sequence[Record]  # `path` and `error` of the first `SHOWN_REJECTED` rejected files
    queued: Mapping[str, int]  # images in the review queue, by reason
    shown: Sequence[Record]  # the first `SHOWN_QUEUED` rows of the queue
    images: Mapping[str, bytes]  # thumbnails as JPEG, by `image_id`
    evaluations: Mapping[str, Mapping[str, Any] | None]  # `evaluation.json` by version; None if deleted
    drift: Sequence[Comparison]  # with the training set
    cost: DayCost | None  # None if not recorded
    promise: str = ""  # how hard the day is, in a sentence; empty if it was not estimated

    @property
    def usual_files(self) -> float | None:
        """Mean number of files on the days before."""
        return sum(each.file_count for each in self.before) / len(self.before) if self.before else None

    def usual_share(self, decision: str) -> float | None:
        """Share of a decision among the files of the days before."""
        total = sum(each.file_count for each in self.before)
        return sum(each.decisions.get(decision, 0) for each in self.before) / total if total else None

    def usual_label_shares(self) -> dict[str, float]:
        """Share of each label among the predictions of the days before; empty without any."""
        labels = sum((Counter(each.labels) for each in self.before), Counter[str]())
        return {label: count / labels.total() for label, count in labels.items()}

    @property
    def alarms(self) -> list[str]:
        """Messages of the comparisons that raised an alarm."""
        return [each.message for each in self.drift if each.is_alarm]

    @property
    def numbers(self) -> dict[str, float | int]:
        """Numbers that Dagster plots over the days."""
        return {"alarm_count": len(self.alarms)}


@dataclass(frozen=True)
class DayTables:
    """Tables of the reports' days."""

    history: Rows  # `predictions` of these days and of the days before them
    predictions: Rows
    review_queue: Rows
    images: StoredRows
    drift: pa.Table
    difficulty: pa.Table


def make_reports(
    days: Sequence[str],
    tables: DayTables,
    evaluate: Callable[[str], Mapping[str, Any] | None],
    find_cost: Callable[[str], DayCost | None],
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[DayReport]:
    """Yields the report of each day. All days are counted, and their thumbnails drawn, in one pass.

    Args:
        days: days as YYYY-MM-DD.
        tables: tables of these days.
        evaluate: returns the `evaluation.json` of a classifier's version, or None.
        find_cost: returns the cost of a day's features, or None.
        limits: limits for one image.
    """
    counts, confidences = count_predictions(tables.history), count_confidences(tables.predictions)
    has_rejected = any(counts[day].reasons for day in map(date.fromisoformat, days) if day in counts)
    rejected = list_rejected(tables.predictions) if has_rejected else {}
    chosen = choose_queued(tables.review_queue)
    image_ids = {row["image_id"] for rows in chosen.values() for row in rows}
    thumbnails = draw_thumbnails(tables.images, image_ids, THUMBNAIL, limits)
    comparisons = read_comparisons(tables.drift)
    promises = {each.day: each.summary for each in read_difficulties(tables.difficulty)}
    for text in days:
        day = date.fromisoformat(text)
        found = counts.get(day, DayCounts())
        yield DayReport(
            day,
            found,
            counts_before(counts, day),
            confidences.get(day, [0] * BINS),
            rejected.get(day, []),
            {row["reason"]: row["reason_count"] for row in chosen.get(day, [])},
            chosen.get(day, []),
            _take_thumbnails(chosen.get(day, []), thumbnails),
            {version: evaluate(version) for version in found.classifiers},
            [each for each in comparisons if each.day == day],
            find_cost(text),
            promises.get(day, ""),
        )


def _take_thumbnails(chosen: Sequence[Record], thumbnails: Mapping[str, bytes]) -> dict[str, bytes]:
    """Takes thumbnails by `image_id`, in order, until `MAX_BYTES` are reached."""
    taken, total = {}, 0
    for row in chosen:
        if thumbnail := thumbnails.get(row["image_id"]):
            total += len(thumbnail)
            if total > MAX_BYTES:
                break
            taken[row["image_id"]] = thumbnail
    return taken
