"""Class mix: whether a day has other answers than the holdout had, and more of which label.

A business may well sell more shoes in spring: the pictures can be of the known kinds, and the mix new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.reports.markdown import escape_markdown, markdown_table
from pipeline.reports.report import Report

DEAL_COUNT: Final = 9_999
SEED: Final = 20260101
LEAST_ANSWERS: Final = 20
ALARM_AT: Final = 0.0025
"""Of 1 % false alarms in all; `drift.ALARM_AT` is the rest."""

LEAST_MOVED: Final = 0.1
"""Share of the answers that must have another label than expected: a mix that is off by less is weather."""


@dataclass(frozen=True)
class MixShift:
    """How the answers of a day differ from those expected.

    Attributes:
        day: as YYYY-MM-DD.
        answer_count: pictures with an answer.
        expected_count: pictures that what is expected is told from.
        p_value: share of deals of both sets' answers that differ as much; nan where one of the two is too small.
        moved_share: of the answers, that would need another label to make the mixes equal, 0 to 1.
        label: whose share grew most.
        share: of the label in the answers.
        expected_share: of the label in those expected.
    """

    day: str
    answer_count: int
    expected_count: int
    p_value: float
    moved_share: float
    label: str
    share: float
    expected_share: float

    @property
    def is_alarm(self) -> bool:
        """Whether chance would bring the mix about less often than `ALARM_AT`, and enough answers moved."""
        return self.p_value <= ALARM_AT and self.moved_share >= LEAST_MOVED

    @property
    def numbers(self) -> dict[str, float | int]:
        """Of a day that could be judged; else none."""
        if np.isnan(self.p_value):
            return {}
        return {"p_value": self.p_value, "moved_share": self.moved_share, "answer_count": self.answer_count}

    @property
    def found(self) -> str:
        """In words, without Markdown."""
        if np.isnan(self.p_value):
            few = "answers" if self.answer_count < LEAST_ANSWERS else "holdout pictures of the classifier that answered"
            return f"too small, fewer than {LEAST_ANSWERS} {few}"
        label = escape_markdown(self.label)
        return f"{label} is {self.share:.0%} of the answers, {self.expected_share:.0%} on the holdout"

    @property
    def told(self) -> str:
        """What was found, and by which odds."""
        if np.isnan(self.p_value):
            return self.found
        odds = f"p = {self.p_value:.4f} (alarm at {ALARM_AT})"
        return f"{self.found}: {odds}; {self.moved_share:.0%} moved (alarm from {LEAST_MOVED:.0%})"


def count_answers(predictions: DataFrame) -> dict[tuple[str, str], dict[str, int]]:
    """Counts the distinct pictures of every predicted label, by day and version of the classifier."""
    answered = predictions.where(F.col("predicted_label").isNotNull())
    rows = answered.groupBy("day", "classifier", "predicted_label").agg(F.count_distinct("image_id").alias("count"))
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows.orderBy("day", "classifier", "predicted_label").collect():
        counts.setdefault((str(row["day"]), row["classifier"]), {})[row["predicted_label"]] = row["count"]
    return counts


def count_holdout_answers(evaluation: Mapping[str, Any] | None) -> dict[str, int]:
    """How often the classifier gave each label on the holdout, told from the confusion in its `evaluation.json`.

    Its answers are compared with its answers: with the labels of the training set its own errors would look like drift.
    Nothing, where the classifier is gone.
    """
    counts: dict[str, int] = {}
    for answers in (evaluation or {"confusion": {}})["confusion"].values():
        for label, count in answers.items():
            counts[label] = counts.get(label, 0) + count
    return counts


def compare_mix(day: str, answers: Mapping[str, int], expected: Mapping[str, int], seed: int = SEED) -> MixShift:
    """Tests whether the answers of a day and those on the holdout could have been dealt from one pile.

    Pearson's statistic, against random deals of both sets' answers, so that rare labels need no approximation.

    Args:
        day: as YYYY-MM-DD.
        answers: number of pictures by label.
        expected: the same of the holdout.
        seed: of the deals.
    """
    labels = sorted({*answers, *expected})
    found, before = (np.array([counts.get(label, 0) for label in labels], np.int64) for counts in (answers, expected))
    totals = int(found.sum()), int(before.sum())
    if min(totals) < LEAST_ANSWERS:
        return MixShift(day, *totals, float("nan"), 0.0, "", 0.0, 0.0)
    shares, expected_shares = found / totals[0], before / totals[1]
    grown = int((shares - expected_shares).argmax())
    return MixShift(
        day,
        *totals,
        p_value=_find_p_value(tuple(found), tuple(before), seed),
        moved_share=float(np.abs(shares - expected_shares).sum() / 2),
        label=labels[grown],
        share=float(shares[grown]),
        expected_share=float(expected_shares[grown]),
    )


@lru_cache(maxsize=1_000)
def _find_p_value(found: tuple[int, ...], before: tuple[int, ...], seed: int) -> float:
    """Share of deals that differ as much; kept, since the check and the report of a day ask for the same."""
    pile, count = np.add(found, before), sum(found)
    generator = np.random.default_rng(seed)
    deals = generator.multivariate_hypergeometric(pile, count, DEAL_COUNT, method="marginals")
    usual = pile * count / pile.sum()
    squares = (((np.vstack([found, deals]) - usual) ** 2) / usual).sum(axis=1)
    return float(np.mean(squares >= squares[0] - 1e-9))


def oddest_numbers(mixes: Sequence[MixShift]) -> dict[str, float | int]:
    """Those of the least likely mix that could be judged; none where no one could."""
    judged = [each.numbers for each in mixes if each.numbers]
    return min(judged, key=lambda each: (each["p_value"], -each["moved_share"]), default={})


def describe_mix(days: Sequence[MixShift]) -> Report:
    """The numbers of the day whose mix differs most, and a table of all days."""
    settings: dict[str, float | int] = {
        "alarm_at": ALARM_AT,
        "least_moved": LEAST_MOVED,
        "alarm_count": sum(each.is_alarm for each in days),
    }
    rows = [
        [each.day, each.answer_count, *_tell_numbers(each), each.found]
        for each in sorted(days, key=lambda each: each.day)
    ]
    header = ["day", "pictures", "p", "moved", "found"]
    return Report(
        numbers=settings | oddest_numbers(days), tables={"days": markdown_table(header, rows)} if rows else {}
    )


def _tell_numbers(mix: MixShift) -> tuple[str, str]:
    return ("", "") if np.isnan(mix.p_value) else (f"{mix.p_value:.4f}", f"{mix.moved_share:.0%}")
