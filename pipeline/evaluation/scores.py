"""Evaluation: how often a classifier is right on pictures that it never saw, and how far few pictures can tell."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.intervals import interval_of_share
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.reliability import Bin, bin_predictions, calibration_error, chance_error
from pipeline.reports.markdown import escape_markdown, markdown_table

Interval = tuple[float, float]

MISTAKE_COUNT: Final = 24
DRAWS: Final = 1000
"""Of the bootstrap."""


@dataclass(frozen=True)
class ClassScore:
    """How well one label is found; shares from 0 to 1, with their 95 % intervals."""

    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """Right and wrong on labelled pictures.

    Attributes:
        accuracy: share of the pictures whose predicted label is right.
        accuracy_interval: its 95 % interval.
        macro_f1: mean of the labels' F1, each label counting the same.
        macro_f1_interval: its 95 % interval.
        support: number of pictures.
        classes: scores by label.
        confusion: number of pictures by label and predicted label; zeros are left out.
    """

    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    support: int
    classes: dict[str, ClassScore]
    confusion: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Reliability:
    """Whether confidence says how often an answer is right, and what is given to those who act on it.

    Attributes:
        calibration_error: expected calibration error in ten bins, 0 to 1.
        chance_error: what the true confidences would have by chance, at most, 95 times of 100.
        bins: of the reliability curve.
        coverage: share of the pictures whose answer is given and not sent to review.
        given_count: of those answers.
        given_precision: share of them that is right; None where none is given.
        given_interval: its 95 % interval.
    """

    calibration_error: float
    chance_error: float
    bins: list[Bin]
    coverage: float
    given_count: int
    given_precision: float | None
    given_interval: Interval


@dataclass(frozen=True)
class Mistake:
    """A wrong answer."""

    image_id: str
    label: str
    predicted_label: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """All that is told of answers to labelled pictures.

    Attributes:
        scores: right and wrong.
        reliability: whether its confidences can be trusted.
        mistakes: the surest wrong answers, at most 24, the surest first.
    """

    scores: Scores
    reliability: Reliability
    mistakes: list[Mistake]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for `evaluation.json`, the scores among the others."""
        told = json.loads(json.dumps(asdict(self)))
        return {**told.pop("scores"), **told}


def evaluate(answers: LabelledPredictions, calibration: Calibration) -> Evaluation:
    """Holds answers against the labels.

    Raises:
        ValueError: where there is nothing to compare.
    """
    counts = Counter(zip(answers.labels.tolist(), answers.predicted.tolist(), strict=True))
    confidence, is_right = answers.confidence, answers.is_right
    surest = [place for place in np.argsort(-confidence, kind="stable") if not is_right[place]][:MISTAKE_COUNT]
    mistakes = [
        Mistake(answers.image_ids[place], answers.labels[place], answers.predicted[place], float(confidence[place]))
        for place in surest
    ]
    return Evaluation(score(counts), measure_reliability(confidence, is_right, calibration.threshold), mistakes)


def measure_reliability(confidence: np.ndarray, is_right: np.ndarray, threshold: float | None) -> Reliability:
    """Holds confidences against what was right.

    Args:
        confidence: float64 `[n]`, n > 0.
        is_right: bool `[n]`.
        threshold: least confidence of an answer that is given; None where none is.
    """
    given = confidence >= threshold if threshold is not None else np.zeros(len(confidence), bool)
    count = int(given.sum())
    precision = float(is_right[given].mean()) if count else None
    bins = bin_predictions(confidence, is_right)
    return Reliability(
        calibration_error=calibration_error(bins),
        chance_error=chance_error(confidence),
        bins=bins,
        coverage=count / len(given),
        given_count=count,
        given_precision=precision,
        given_interval=interval_of_share(precision or 0.0, count),
    )


def score(counts: Mapping[tuple[str, str], int]) -> Scores:
    """Scores counts of (label, predicted label).

    A label that is never predicted has precision 0, and one without pictures has recall 0.

    Raises:
        ValueError: where there is nothing to score.
    """
    support = sum(counts.values())
    if support == 0:
        raise ValueError("there is no holdout picture to evaluate on")
    labels = sorted({label for pair in counts for label in pair})
    matrix = np.array([[counts.get((label, answer), 0) for answer in labels] for label in labels])
    right, answered, actual = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    f1 = _f1(matrix)
    accuracy = float(right.sum() / support)
    draws = np.random.default_rng(0).multinomial(support, matrix.ravel() / support, DRAWS).reshape(DRAWS, *matrix.shape)
    low, high = np.quantile(_f1(draws).mean(axis=1), (0.025, 0.975))
    return Scores(
        accuracy=accuracy,
        accuracy_interval=interval_of_share(accuracy, support),
        macro_f1=float(f1.mean()),
        macro_f1_interval=(float(low), float(high)),
        support=support,
        classes={
            label: _score_class(int(right[place]), int(answered[place]), int(actual[place]), float(f1[place]))
            for place, label in enumerate(labels)
        },
        confusion={
            label: {answer: counts[label, answer] for answer in labels if counts.get((label, answer))}
            for label in labels
        },
    )


def confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """The confusion matrix as a Markdown table: a row for each label, a column for each answer."""
    labels = list(confusion)
    rows = [[label, *(confusion[label].get(answer) or "·" for answer in labels)] for label in labels]
    return markdown_table(["label ↓ answer →", *map(escape_markdown, labels)], rows)


def _f1(matrices: np.ndarray) -> np.ndarray:
    """F1 of every label, of matrices `[..., labels, answers]`; 0 where a label is neither there nor answered."""
    right = np.diagonal(matrices, axis1=-2, axis2=-1)
    both = matrices.sum(axis=-1) + matrices.sum(axis=-2)
    return np.divide(2 * right, both, out=np.zeros(right.shape), where=both > 0)


def _score_class(right: int, answered: int, actual: int, f1: float) -> ClassScore:
    precision = right / answered if answered else 0.0
    recall = right / actual if actual else 0.0
    return ClassScore(
        precision, interval_of_share(precision, answered), recall, interval_of_share(recall, actual), f1, actual
    )
