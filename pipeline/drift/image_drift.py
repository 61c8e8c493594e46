"""Drift: whether the pictures of a day are like those that the classifier learned from, and which are not.

The test itself is `two_samples.py`; whether the answers are mixed as before is another question, `class_mix.py`.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Final

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.drift.embedding_space import Likeness, learn_likeness
from pipeline.drift.permutation_test import Difference, Sample, compare_samples, prepare_sample
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.reports.contact_sheet import draw_contact_sheet, read_tiles
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.report import Report
from pipeline.similarity.samples import sample_days, sample_labelled

REFERENCE_LIMIT: Final = 5_000
LEARNED_LIMIT: Final = 1_000
DAY_LIMIT: Final = 1_000
"""Pictures that speak for the training set and for a day, however many there are. It bounds the memory (26 and 5 MB of
vectors of 1,280), and what is called drift: what shows in no thousand pictures is too little to act upon."""

DAYS_AT_ONCE: Final = 31
LEAST_PICTURES: Final = 20
ALARM_AT: Final = 0.0075
"""Of 1 % false alarms in all; `class_mix.ALARM_AT` is the rest."""

EXAMPLE_COUNT: Final = 12
MOST_KNOWN: Final = 1_000
"""Comparisons that a process keeps, of some 12 kB each."""


@dataclass(frozen=True)
class Reference:
    """What days are compared with.

    Attributes:
        backbone: digest of the graph that made the vectors; empty where there are none.
        vectors: float32 `[n, dimension]` of length 1, of at most `REFERENCE_LIMIT` pictures of the train side.
        labels: of these.
        likeness: learned from at most `LEARNED_LIMIT` pictures of the holdout.
    """

    backbone: str
    vectors: np.ndarray
    labels: Sequence[str]
    likeness: Likeness

    @cached_property
    def sample(self) -> Sample:
        """Prepared once for all days."""
        return prepare_sample(self.vectors, self.labels, self.likeness)

    @cached_property
    def digest(self) -> bytes:
        """Of all that days are compared with."""
        parts = (self.vectors, self.likeness.axes, self.likeness.scores)
        labels = "\0".join(self.labels).encode()
        return hashlib.sha256(labels + b"".join(part.tobytes() for part in parts)).digest()


@dataclass(frozen=True)
class DayDrift:
    """What was found of a day.

    Attributes:
        day: as YYYY-MM-DD.
        picture_count: compared.
        difference: from the reference; None where nothing was compared.
        found: what was found, or why nothing was compared, in words without signs that a table would lose.
        examples: `image_id` of the pictures that moved the day most, each with the share of the day among the 20
            pictures nearest to it, 0 to 1.
    """

    day: str
    picture_count: int
    difference: Difference | None
    found: str
    examples: tuple[tuple[str, float], ...] = ()

    @property
    def told(self) -> str:
        """What was found, and by which odds."""
        odds = f": p = {self.difference.p_value:.4f} (alarm at {ALARM_AT})" if self.difference else ""
        return self.found + odds

    @property
    def is_alarm(self) -> bool:
        """Whether chance would bring such a day about less often than `ALARM_AT`."""
        return self.difference is not None and self.difference.p_value <= ALARM_AT


_compared: dict[bytes, Difference] = {}


def read_reference(training_features: DataFrame) -> Reference:
    """Collects the vectors of the train side, and learns from the holdout in which coordinates they are compared."""
    train, holdout = (
        training_features.where((F.col("split") == side) & F.col("features").isNotNull()) for side in (TRAIN, HOLDOUT)
    )
    first = train.select("backbone").head()
    labels, vectors = _leave_finite(*sample_labelled(train, REFERENCE_LIMIT))
    seen, learned = _leave_finite(*sample_labelled(holdout, LEARNED_LIMIT))
    likeness = learn_likeness(learned, seen, vectors)
    return Reference(first["backbone"] if first else "", vectors, labels, likeness)


def _leave_finite(names: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    is_finite = np.isfinite(vectors).all(axis=1)
    return list(compress(names, is_finite)), vectors[is_finite]


def find_drifts(days: Sequence[str], image_features: DataFrame, reference: Reference) -> Iterator[DayDrift]:
    """Compares every day with the reference; the driver holds at most `DAY_LIMIT` vectors of `DAYS_AT_ONCE` days.

    Args:
        days: as YYYY-MM-DD.
        image_features: of the days.
        reference: of the same backbone, else nothing is compared.
    """
    is_same = F.col("backbone") == reference.backbone
    others = image_features.where(F.col("features").isNotNull() & ~is_same).select("day").distinct()
    strange = {str(row["day"]) for row in others.collect()}
    for first in range(0, len(days), DAYS_AT_ONCE):
        some = days[first : first + DAYS_AT_ONCE]
        samples = sample_days(image_features.where(F.col("day").isin(*some) & is_same), DAY_LIMIT)
        for day in some:
            ids, vectors = _leave_finite(*samples.get(day, ([], np.empty((0, 0), np.float32))))
            if not ids and day in strange:
                yield DayDrift(day, 0, None, "not compared, the training set has features of another backbone")
            else:
                yield _compare(day, ids, vectors, reference)


def _compare_once(vectors: np.ndarray, reference: Reference) -> Difference:
    """The check and the report of a day ask the same; what this process knows is not computed again."""
    key = hashlib.sha256(reference.digest + vectors.tobytes()).digest()
    if key not in _compared:
        if len(_compared) >= MOST_KNOWN:
            _compared.clear()
        _compared[key] = compare_samples(reference.sample, vectors)
    return _compared[key]


def _compare(day: str, ids: Sequence[str], vectors: np.ndarray, reference: Reference) -> DayDrift:
    if min(len(ids), len(reference.vectors)) < LEAST_PICTURES:
        few = "the day" if len(ids) < LEAST_PICTURES else "the train side"
        return DayDrift(day, len(ids), None, f"too small, {few} has fewer than {LEAST_PICTURES} pictures")
    found = _compare_once(vectors, reference)
    if len(found.order) < LEAST_PICTURES:
        return DayDrift(
            day, len(ids), None, f"too small, fewer than {LEAST_PICTURES} pictures that are not nearly equal"
        )
    drift = DayDrift(
        day,
        len(found.order),
        found,
        "pictures are like the training set",
    )
    if not drift.is_alarm:
        return drift
    examples = tuple((ids[number], float(found.crowding[number])) for number in found.order[:EXAMPLE_COUNT])
    which = "as a whole" if found.statistic == "mean" else "in some of them, which are like each other"
    return replace(drift, found=f"pictures differ from the training set {which}", examples=examples)


def describe_drift(days: Sequence[DayDrift]) -> Report:
    """The numbers of the day that differs most, and a table of all days."""
    rows = [
        [each.day, each.picture_count, *_tell_numbers(each.difference), each.found]
        for each in sorted(days, key=lambda each: each.day)
    ]
    counts: dict[str, float | int] = {"alarm_at": ALARM_AT, "alarm_count": sum(each.is_alarm for each in days)}
    numbers = [measured for each in days if (measured := measure_drift(each))]
    worst = min(numbers, key=lambda each: (each["p_value"], -each["distance"]), default={})
    return Report(
        numbers=counts | worst,
        tables={"days": markdown_table(["day", "pictures", "p", "distance", "found"], rows)} if rows else {},
    )


def measure_drift(drift: DayDrift) -> dict[str, float | int]:
    """The numbers of a day: none, where nothing was compared."""
    if drift.difference is None:
        return {}
    numbers = {"p_value": drift.difference.p_value, "distance": drift.difference.distance}
    return {**numbers, "picture_count": drift.picture_count}


def draw_examples(drift: DayDrift, images: DataFrame, predictions: DataFrame) -> bytes:
    """A contact sheet of the pictures that moved the day, the first the most.

    Args:
        drift: with examples.
        images: of the day; the bytes of the examples alone are read.
        predictions: of the day, for the labels; a picture that they do not know is left out.
    """
    shares = dict(drift.examples)
    answers = predictions.where(F.col("image_id").isin(list(shares))).select("image_id", "predicted_label")
    by_id = {row["image_id"]: row for row in answers.collect()}
    chosen = [by_id[image_id] for image_id in shares if image_id in by_id]
    return draw_contact_sheet(read_tiles(images, chosen, _caption(shares)))


def _caption(shares: dict[str, float]) -> Callable[[Row], tuple[str, str]]:
    return lambda row: (f"{row['predicted_label']}\n{shares[row['image_id']]:.0%} of the nearest", DOUBTFUL)


def _tell_numbers(difference: Difference | None) -> tuple[str, str]:
    return (f"{difference.p_value:.4f}", f"{difference.distance:.1f}") if difference else ("", "")
