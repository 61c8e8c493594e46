"""Answers about sets of labels: which labels hold for an image of a day, and about which no answer is sure enough."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.images.label_sets import DENIAL, deny

COLUMNS: Final = """
    labels array<string> comment 'labels that hold, or for unsure ones probably do, from image_features.features',
    unsure array<string> comment 'labels about which neither answer is sure enough, from difficulty.label_thresholds;
        an image without any is answered'
"""
"""Added to `predictions` of a classifier of sets. There, `predicted_label` is the text of the set, such as
`dark;long sleeves` or `(no label)`, `probabilities` has the probability that each label holds, and `confidence` is that
of the whole set, as if its labels were independent."""


def describe_answers(labels: Sequence[str], thresholds: Mapping[str, float]) -> str:
    """Describes in a sentence from which confidences on answers about labels are given, and about which none are."""
    found = f"labels are answered from confidence {min(thresholds.values()):.2f} to {max(thresholds.values()):.2f} on"
    one_sided = [label for label in labels if (label in thresholds) != (deny(label) in thresholds)]
    never = [label for label in labels if label not in thresholds and deny(label) not in thresholds]
    if one_sided:
        found += f"; of {', '.join(one_sided)}, one of the two answers is never sure enough"
    return f"{found}; about {', '.join(never)} nothing is sure enough" if never else found


def list_thresholds(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Lists the thresholds of a classifier, from its `evaluation.json`, by answer."""
    return {name: each["threshold"] for name, each in evaluation["promises"].items() if each["threshold"] is not None}


def find_sets(labels: Sequence[str], is_allowed: Column) -> dict[str, Column]:
    """Finds the columns of `COLUMNS`, from `probabilities` and `label_thresholds`; null without probabilities.

    Args:
        labels: labels of the classifier, sorted.
        is_allowed: whether an image may be answered at all.
    """
    names, shares = F.array(*map(F.lit, labels)), F.col("probabilities")
    known = shares.isNotNull()

    def is_unsure(label: Column) -> Column:
        holds = shares[label] >= 0.5
        answer = F.when(holds, label).otherwise(F.concat(F.lit(DENIAL), label))
        confidence = F.when(holds, shares[label]).otherwise(1 - shares[label])
        return ~F.coalesce(confidence >= F.col("label_thresholds")[answer], F.lit(False))

    unsure = F.when(is_allowed, F.filter(names, is_unsure)).otherwise(names)
    return {
        "labels": F.when(known, F.filter(names, lambda label: shares[label] >= 0.5)),
        "unsure": F.when(known, unsure),
    }
