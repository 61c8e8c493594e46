"""Groups of images that look alike and get the same prediction, so that one key answers all of them.

Complete linkage, because one look must do for every member: no two of them are far apart. Images of the audit are
never grouped.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from pipeline.similarity.nearest import normalise

WINDOW: Final = 2_000  # items that are grouped at a time: the distances take 16 MB
MAX_GROUP: Final = 18  # images that a person can look at once, each with a letter on the keyboard
MIN_LIKENESS: Final = 0.75
"""Minimum likeness of any two members: half the cosine of the features, half the overlap of the probabilities. On the
demo's 199 images it costs 0.32 actions an image, against 0.42 by the features alone and 0.46 by label and features."""


def group_alike(features: np.ndarray, likely: Sequence[Sequence[tuple[str, float]]]) -> list[list[int]]:
    """Groups images, each into one group, in the order of their first members.

    Args:
        features: float32 `[n, dimension]`, n at most `WINDOW`; zeros where there are none.
        likely: labels and probabilities of each image; none where there is no prediction.
    """
    if len(features) < 2:
        return [[place] for place in range(len(features))]
    vectors, shares = normalise(features), _overlaps(likely)
    likeness = (vectors @ vectors.T + shares @ shares.T) / 2
    distances = np.maximum(1 - likeness[np.triu_indices(len(features), 1)], 0)
    numbers = fcluster(linkage(distances, "complete"), 1 - MIN_LIKENESS, "distance")
    members: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        members.setdefault(int(number), []).append(place)
    return [group[start : start + MAX_GROUP] for group in members.values() for start in range(0, len(group), MAX_GROUP)]


def suggest_label(likely: Sequence[Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
    """The likely labels of a whole group: the mean of its probabilities, the most probable first."""
    total: Counter[str] = Counter()
    for each in likely:
        total.update(dict(each))
    return [(label, share / len(likely)) for label, share in total.most_common()]


def _overlaps(likely: Sequence[Sequence[tuple[str, float]]]) -> np.ndarray:
    """Square roots of the probabilities, whose products sum up to the overlap (Bhattacharyya's coefficient)."""
    labels: Mapping[str, int] = {
        label: column for column, label in enumerate(dict.fromkeys(label for each in likely for label, _ in each))
    }
    shares = np.zeros((len(likely), len(labels)), np.float32)
    for row, each in enumerate(likely):
        for label, share in each:
            shares[row, labels[label]] = np.sqrt(share)
    return normalise(shares)
