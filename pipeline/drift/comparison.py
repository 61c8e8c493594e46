"""The table `drift`: comparisons of a day with what the classifier learned from, and their presentation on pages.

Rows only. `image_drift.py` and `label_shift.py` compute them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

import pyarrow as pa

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.reports.contact_sheet import draw_contact_sheet, draw_tiles_by_day
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.queries import Record, Rows, query
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.rows import SmallRows, collect_rows
from pipeline.storage.stored_rows import StoredRows

SCHEMA: Final = """
    day date comment 'the day that was compared, from predictions.day',
    comparison string comment 'images (embeddings of the day), week (embeddings of the day and the six days before) or
        labels (shares of the predicted labels)',
    classifier string comment 'version that predicted the labels, from predictions.classifier; null for images',
    image_count bigint comment 'images that were compared; near-duplicate images count once',
    p_value double comment 'share of random permutations that differ as much; null where nothing was compared',
    distance double comment 'distance of the images from the training set in standard deviations; null for labels',
    moved_share double comment 'share of predictions whose label would have to change, 0 to 1; null for images',
    is_alarm boolean comment 'true where the day differs by more than chance and enough to act upon',
    summary string comment 'the result in plain English, or why nothing was compared',
    examples array<struct<image_id: string, day_share: double>> comment 'images that differ most, the first most,
        from image_features.image_id; day_share is the share of the same day among the 20 nearest images',
    cluster_count int comment 'images of the same day among the 60 nearest from which an image belongs to a cluster of
        its own; null unless an alarm of the images found one',
    cluster_share double comment 'share of the compared images that belong to a cluster, 0 to 1; null without one'
"""
IMAGES: Final = "images"
WEEK: Final = "week"
LABELS: Final = "labels"
ALARM_AT: Final = {IMAGES: 0.005, WEEK: 0.0025, LABELS: 0.0025}
"""Highest p-value of an alarm; together the comparisons raise at most 1 % false alarms a day."""

MIN_MOVED_SHARE: Final = 0.1  # of an alarm of the labels; smaller shifts are normal day-to-day variation
MIN_COMPARED: Final = 20  # images
_PREDICTED: Final = """
    SELECT day, image_id, predicted_label FROM predictions WHERE list_contains($wanted, image_id)
"""


@dataclass(frozen=True)
class Comparison:
    """One row of `drift`; its columns are described in `SCHEMA`."""

    day: date
    comparison: str
    summary: str
    image_count: int
    classifier: str | None = None
    p_value: float | None = None
    distance: float | None = None
    moved_share: float | None = None
    is_alarm: bool = False
    examples: Sequence[tuple[str, float]] = ()
    cluster_count: int | None = None
    cluster_share: float | None = None

    @property
    def message(self) -> str:
        """The summary with the p-value and the limits of an alarm."""
        if self.p_value is None:
            return self.summary
        tested = f"{self.summary}: p = {self.p_value:.4f} (alarm at {ALARM_AT[self.comparison]})"
        if self.moved_share is None:
            return tested
        return f"{tested}; {self.moved_share:.0%} moved (alarm from {MIN_MOVED_SHARE:.0%})"

    @property
    def numbers(self) -> dict[str, float | int]:
        """The measurements; none where nothing was compared."""
        measured = {"p_value": self.p_value, "distance": self.distance, "moved_share": self.moved_share}
        counted = {} if self.p_value is None else {"image_count": self.image_count}
        return {name: value for name, value in measured.items() if value is not None} | counted


def store_comparisons(comparisons: Sequence[Comparison]) -> SmallRows:
    """Makes the rows of the table, in the columns of `SCHEMA`."""
    return collect_rows(list(map(make_row, comparisons)), parse_schema(SCHEMA))


def make_row(comparison: Comparison) -> dict[str, object]:
    """Makes one row of the table, by column."""
    names = ("image_id", "day_share")
    return asdict(comparison) | {"examples": [dict(zip(names, each, strict=True)) for each in comparison.examples]}


def read_comparisons(drift: pa.Table) -> list[Comparison]:
    """Reads the rows of the table by day, the comparison of its images first."""
    by_day = [(name, "ascending") for name in ("day", "comparison", "classifier")]
    return [read_comparison(row) for row in drift.sort_by(by_day).to_pylist()]


def read_comparison(row: dict[str, Any]) -> Comparison:
    """Reads one row of the table."""
    examples = tuple((each["image_id"], each["day_share"]) for each in row["examples"])
    return Comparison(**(row | {"examples": examples}))


def describe_drift(
    images: StoredRows, predictions: Rows, limits: Limits = DEFAULT_LIMITS
) -> Callable[[pa.Table], Mapping[Day, Report]]:
    """Describes each day: its numbers, its comparisons as a table, and the images that differ most.

    Only the bytes of these images are read. The captions show the predicted label; an image without one is left out.
    """

    def describe(drift: pa.Table) -> Mapping[Day, Report]:
        comparisons = read_comparisons(drift)
        sheets = _draw_examples(comparisons, images, predictions, limits)
        reports: dict[Day, Report] = {}
        for day in dict.fromkeys(each.day for each in comparisons):
            found = [each for each in comparisons if each.day == day]
            numbers: dict[str, float | int] = {"alarm_count": sum(each.is_alarm for each in found)}
            for kind in ALARM_AT:
                least_likely = find_least_likely([each for each in found if each.comparison == kind])
                numbers |= {f"{kind}_{name}": value for name, value in least_likely.items()}
            sheet = {"examples": sheets[day]} if day in sheets else {}
            reports[day] = Report(numbers, tables={"comparisons": _write_table(found, "comparison")}, images=sheet)
        return reports

    return describe


def describe_check(comparisons: Sequence[Comparison]) -> Report:
    """Describes the limits of an alarm, the day that differs most, and all days as a table."""
    numbers: dict[str, float | int] = {"alarm_count": sum(each.is_alarm for each in comparisons)}
    if any(each.comparison == LABELS for each in comparisons):
        numbers["min_moved_share"] = MIN_MOVED_SHARE
    tables = {"days": _write_table(comparisons, "day")} if comparisons else {}
    return Report(numbers | find_least_likely(comparisons), tables=tables)


def find_least_likely(comparisons: Sequence[Comparison]) -> dict[str, float | int]:
    """Returns the numbers of the comparison with the lowest p-value; none where nothing was compared."""
    numbers = [each.numbers for each in comparisons if each.numbers]
    size = "distance" if numbers and "distance" in numbers[0] else "moved_share"
    return min(numbers, key=lambda each: (each["p_value"], -each[size]), default={})


def _write_table(comparisons: Sequence[Comparison], first: str) -> str:
    rows = []
    for each in comparisons:
        p_value = "" if each.p_value is None else f"{each.p_value:.4f}"
        distance = "" if each.distance is None else f"{each.distance:.1f} deviations"
        distance = distance if each.moved_share is None else f"{each.moved_share:.0%} moved"
        rows.append([getattr(each, first), each.image_count, p_value, distance, each.summary])
    return markdown_table([first, "images", "p", "distance", "summary"], rows)


def _draw_examples(
    comparisons: Sequence[Comparison], images: StoredRows, predictions: Rows, limits: Limits
) -> dict[date, bytes]:
    """Draws a contact sheet for each day that has examples."""
    shares = {each.day: dict(each.examples) for each in comparisons if each.examples}
    if not shares:
        return {}
    wanted = [image_id for examples in shares.values() for image_id in examples]
    rows = query(_PREDICTED, {"wanted": wanted}, predictions=predictions)
    predicted = {(row["day"], row["image_id"]): row for row in rows}
    chosen: dict[Day, list[dict[str, Any]]] = {
        day: [predicted[day, image_id] for image_id in examples if (day, image_id) in predicted]
        for day, examples in shares.items()
    }

    def write_caption(row: Record) -> tuple[str, str]:
        share = shares[row["day"]][row["image_id"]]
        return f"{row['predicted_label']}\n{share:.0%} of the nearest", DOUBTFUL

    tiles = draw_tiles_by_day(images, chosen, write_caption, limits)
    return {day: draw_contact_sheet(each) for day, each in tiles.items() if day and each}
