"""The table `difficulty`: one row a day, its columns, and its presentation on pages; `difficulty.py` estimates."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Final

import pyarrow as pa

from pipeline.drift.comparison import SCHEMA as DRIFT_SCHEMA
from pipeline.drift.comparison import Comparison, make_row, read_comparison
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.rows import SmallRows, collect_rows

COMPARISON: Final = re.sub(r"\s+comment '[^']*'", "", DRIFT_SCHEMA)  # Spark and Delta write nested comments differently
SCHEMA: Final = f"""
    day date comment 'the day, from image_features.day',
    classifier string comment 'version of the classifier',
    row_count bigint comment 'rows of image_features of the day',
    image_count bigint comment 'distinct images of the day that have features',
    pooled_count bigint comment 'images that the estimate rests on: those of the day, and of days before a small day,
        without review_flags',
    first_day date comment 'first of these days',
    mean_confidence double comment 'their mean confidence before calibration, 0 to 1; null without images',
    state string comment 'what the threshold rests on: proven by labels of the audit, estimated, or unknown: then every
        prediction goes to review',
    audited_count bigint comment 'labels of the audit of earlier days that were used',
    accuracy double comment 'estimated share of right predictions among images without review_flags, 0 to 1; null where
        it is unknown',
    accuracy_low double comment 'lower end of its 95 % interval',
    accuracy_high double comment 'upper end of its 95 % interval',
    easier_level int comment 'number of the easier cross-fit of the mixture, 0 for random folds',
    harder_share double comment 'share of the next harder cross-fit, 0 to 1',
    temperature double comment 'divisor of the logits of the day',
    threshold double comment 'minimum confidence of an answered prediction; null if none is answered',
    ancestor_thresholds map<int, double> comment 'minimum confidence of an answer with an ancestor of the labels, by
        its depth; empty for labels that are no paths',
    target_precision double comment 'required precision of the answered predictions, 0 to 1',
    summary string comment 'the result in plain English',
    comparisons array<struct<{COMPARISON}>> comment 'images of the day, and of the week that ends with it, compared
        with the training set; rows of drift',
    review_flags array<string> comment 'quality flags whose images are not answered',
    label_thresholds map<string, double> comment 'minimum confidence of the predicted labels that need more than
        threshold, by label; infinite for one that is never answered'
"""
MAPS: Final = ("ancestor_thresholds", "label_thresholds")
PROVEN: Final = "proven"
ESTIMATED: Final = "estimated"
UNKNOWN: Final = "unknown"
HARD_LEVEL: Final = 0.5  # between random folds and the first harder cross-fit


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
    audited_count: int = 0
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    easier_level: int | None = None
    harder_share: float | None = None
    temperature: float = 1.0
    threshold: float | None = None
    ancestor_thresholds: Mapping[int, float] = field(default_factory=dict)
    target_precision: float = 0.95
    summary: str = ""
    comparisons: Sequence[Comparison] = ()
    review_flags: Sequence[str] = ()
    label_thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def level(self) -> float | None:
        """Number of the cross-fit that is as hard as the day, 0 for random folds; None where it is unknown."""
        if self.easier_level is None or self.harder_share is None:
            return None
        return self.easier_level + self.harder_share

    @property
    def is_hard(self) -> bool:
        """Whether the day is clearly harder than the training set, or cannot be estimated."""
        return self.image_count > 0 if self.level is None else self.level >= HARD_LEVEL


def store_difficulties(found: Sequence[Difficulty]) -> SmallRows:
    """Makes the rows of the table, in the columns of `SCHEMA`."""
    rows = [asdict(each) | {"comparisons": list(map(make_row, each.comparisons))} for each in found]
    return collect_rows([row | {name: list(row[name].items()) for name in MAPS} for row in rows], parse_schema(SCHEMA))


def read_difficulties(table: pa.Table) -> list[Difficulty]:
    """Reads the rows of the table by day."""
    found = []
    for row in table.sort_by("day").to_pylist():
        # Columns added later are null in older rows.
        compared = tuple(map(read_comparison, row["comparisons"] or ()))
        maps = {name: dict(row[name] or ()) for name in MAPS}
        flags = tuple(row["review_flags"] or ())
        found.append(Difficulty(**(row | maps | {"comparisons": compared, "review_flags": flags})))
    return found


def describe_difficulty(table: pa.Table) -> dict[Day, Report]:
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
