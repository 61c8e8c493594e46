"""Evaluation: how often a classifier is right on pictures that it never saw, told from counts of label and answer.

Pure arithmetic on a small table; the counting itself is one Spark aggregation.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist

from pyspark.sql import DataFrame

from pipeline.report import markdown_table, plain


@dataclass(frozen=True)
class ClassScore:
    """How well one label is found; shares from 0 to 1."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """Scores on labelled pictures.

    Attributes:
        accuracy: share of the pictures whose predicted label is right.
        macro_f1: mean of the labels' F1, each label counting the same.
        support: number of pictures.
        classes: scores by label.
        confusion: number of pictures by label and predicted label; zeros are left out.
    """

    accuracy: float
    macro_f1: float
    support: int
    classes: dict[str, ClassScore]
    confusion: dict[str, dict[str, int]]

    def to_dict(self) -> dict[str, object]:
        """The same as plain values, for `evaluation.json`."""
        return asdict(self)


def evaluate(predicted: DataFrame) -> Evaluation:
    """Compares `predicted_label` with `label`.

    Raises:
        ValueError: where there is nothing to compare.
    """
    rows = predicted.groupBy("label", "predicted_label").count().collect()
    return score({(row["label"], row["predicted_label"]): row["count"] for row in rows})


def score(counts: Mapping[tuple[str, str], int]) -> Evaluation:
    """Scores counts of (label, predicted label).

    A label that is never predicted has precision 0, and one without pictures has recall 0.

    Raises:
        ValueError: where there is nothing to score.
    """
    support = sum(counts.values())
    if support == 0:
        raise ValueError("there is no holdout picture to evaluate on")
    labels = sorted({label for pair in counts for label in pair})
    actual: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for (label, predicted), count in counts.items():
        actual[label] += count
        answered[predicted] += count
    classes = {label: _score_class(counts.get((label, label), 0), answered[label], actual[label]) for label in labels}
    confusion: dict[str, dict[str, int]] = {label: {} for label in labels}
    for (label, predicted), count in sorted(counts.items()):
        confusion[label][predicted] = count
    return Evaluation(
        accuracy=sum(counts.get((label, label), 0) for label in labels) / support,
        macro_f1=sum(each.f1 for each in classes.values()) / len(classes),
        support=support,
        classes=classes,
        confusion=confusion,
    )


def confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """The confusion matrix as a Markdown table: a row for each label, a column for each answer."""
    labels = list(confusion)
    rows = [[label, *(confusion[label].get(answer) or "·" for answer in labels)] for label in labels]
    return markdown_table(["label ↓ answer →", *map(plain, labels)], rows)


def interval_of_share(share: float, support: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen on so many pictures (Wilson's, which stays between 0 and 1)."""
    z = NormalDist().inv_cdf(0.975)
    centre = (share + z * z / (2 * support)) / (1 + z * z / support)
    reach = z / (1 + z * z / support) * math.sqrt(share * (1 - share) / support + z * z / (4 * support**2))
    return centre - reach, centre + reach


def _score_class(right: int, answered: int, actual: int) -> ClassScore:
    precision = right / answered if answered else 0.0
    recall = right / actual if actual else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return ClassScore(precision, recall, f1, actual)
