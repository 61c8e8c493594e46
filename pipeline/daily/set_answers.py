"""Answers about sets of labels: which labels hold for an image of a day, and about which no answer is sure enough."""

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.images.label_sets import deny

COLUMNS: Final = """
    labels array<string> comment 'labels that hold, or for unsure ones probably do, from image_features.features',
    unsure array<string> comment 'labels about which neither answer is sure enough, from difficulty.label_thresholds;
        an image without any is answered'
"""
"""Added to `predictions` of a classifier of sets. There, `predicted_label` is the text of the set, such as
`dark;long sleeves` or `(no label)`, `probabilities` has the probability that each label holds, and `confidence` is that
of the whole set, as if its labels were independent."""
LABELS: Final = """
    CASE WHEN probabilities IS NOT NULL THEN filter($labels, label -> probabilities[label] >= 0.5) END
"""
"""The first of `COLUMNS`, from `probabilities`, as a part of a portable query; null without them.

`$labels` are the labels of the classifier, sorted."""
UNSURE: Final = """
    CASE WHEN probabilities IS NULL THEN NULL WHEN NOT is_allowed THEN $labels ELSE
        filter($labels, label -> NOT coalesce(
            CASE WHEN probabilities[label] >= 0.5 THEN probabilities[label] >= label_thresholds[label]
            ELSE 1 - probabilities[label] >= label_thresholds[concat($denial, label)] END, false)) END
"""
"""The second one; all labels of an image that may not be answered."""


def describe_answers(labels: Sequence[str], thresholds: Mapping[str, float]) -> str:
    """Describes in a sentence from which confidences on answers about labels are given, and about which none are."""
    found = f"labels are answered from confidence {min(thresholds.values()):.2f} to {max(thresholds.values()):.2f} on"
    one_sided = [label for label in labels if (label in thresholds) != (deny(label) in thresholds)]
    never = [label for label in labels if label not in thresholds and deny(label) not in thresholds]
    if one_sided:
        found += f"; of {', '.join(one_sided)}, one of the two answers is never sure enough"
    return f"{found}; about {', '.join(never)} nothing is sure enough" if never else found
