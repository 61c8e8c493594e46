"""Counts and examples of a daily report: decisions, labels, confidences, rejected files and queued images.

All days of a run are counted at once; only a few rows a day are held.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from pipeline.daily.predictions import ANSWERED, REJECTED, REVIEW
from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.queries import Rows, by_day, query
from pipeline.storage.counting import Day

USUAL_DAYS: Final = 28  # days before a report's day that it is compared with
BINS: Final = 20  # bars of the confidence histogram
SHOWN_REJECTED: Final = 12
SHOWN_QUEUED: Final = 36
_COUNTS: Final = """
    SELECT day, decision, predicted_label, error, classifier, quality_flags, count(*) AS count,
        count(near_duplicate_of) AS near_duplicate_count
    FROM predictions GROUP BY ALL ORDER BY ALL
"""
_CONFIDENCES: Final = """
    SELECT day, least(floor(confidence * $bins), $bins - 1)::INTEGER AS bin, count(*) AS count
    FROM predictions WHERE confidence IS NOT NULL GROUP BY ALL
"""
_REJECTED: Final = """
    SELECT day, path, error FROM predictions WHERE decision = $rejected AND error <> $sidecar
    QUALIFY row_number() OVER (PARTITION BY day ORDER BY path) <= $shown ORDER BY day, path
"""
_QUEUED: Final = """
    SELECT * FROM (
        SELECT *, count(*) OVER (PARTITION BY day, reason) AS reason_count,
            row_number() OVER (PARTITION BY day, reason ORDER BY confidence, image_id) AS turn
        FROM review_queue
    ) QUALIFY row_number() OVER (PARTITION BY day ORDER BY turn, reason) <= $shown ORDER BY day, turn, reason
"""


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


def count_predictions(predictions: Rows) -> dict[date, DayCounts]:
    """Counts the files of each day."""
    counts: dict[date, DayCounts] = {}
    for row in query(_COUNTS, predictions=predictions):
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


def count_confidences(predictions: Rows) -> dict[date, list[int]]:
    """Counts predictions by day and confidence, in `BINS` equal bins from 0 to 1."""
    bins: dict[date, list[int]] = {}
    for row in query(_CONFIDENCES, {"bins": BINS}, predictions=predictions):
        bins.setdefault(row["day"], [0] * BINS)[row["bin"]] = row["count"]
    return bins


def list_rejected(predictions: Rows) -> dict[Day, list[dict[str, Any]]]:
    """Lists `path` and `error` of the first `SHOWN_REJECTED` rejected files of each day, by path; no sidecar files."""
    limits = {"rejected": REJECTED, "sidecar": SIDECAR, "shown": SHOWN_REJECTED}
    return by_day(query(_REJECTED, limits, predictions=predictions))


def choose_queued(review_queue: Rows) -> dict[Day, list[dict[str, Any]]]:
    """Chooses the `SHOWN_QUEUED` least confident images of each day's queue, taking reasons in turn.

    Adds `reason_count`: images queued for that reason. Every reason of the day is among the chosen ones.
    """
    return by_day(query(_QUEUED, {"shown": SHOWN_QUEUED}, review_queue=review_queue))
