"""Hierarchies: labels that are paths, such as `fruit/apple/gala`, and answers with their ancestors.

An image that is not sure enough for a label may be sure enough for what several labels have in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.thresholds import choose_threshold

SEPARATOR: Final = "/"


@dataclass(frozen=True)
class Depth:
    """The ancestors of all labels at one depth; a label that is not that deep is its own ancestor.

    Attributes:
        depth: number of names in the path of an ancestor.
        ancestors: each once, in order.
        members: index of the ancestor of each label, int64 `[k]`.
    """

    depth: int
    ancestors: tuple[str, ...]
    members: np.ndarray


def list_depths(labels: Sequence[str]) -> list[Depth]:
    """Lists the depths above the labels that tell any apart, the deepest first; none for flat labels."""
    deepest = max((label.count(SEPARATOR) for label in labels), default=0)
    depths = []
    for depth in range(deepest, 0, -1):
        ancestors, members = np.unique([cut_label(label, depth) for label in labels], return_inverse=True)
        if 1 < len(ancestors) < len(labels):
            depths.append(Depth(depth, tuple(ancestors.tolist()), members))
    return depths


def cut_label(label: str, depth: int) -> str:
    """Cuts a label to its ancestor at a depth."""
    return SEPARATOR.join(label.split(SEPARATOR)[:depth])


def is_right(label: Column, predicted: Column) -> Column:
    """Whether a predicted label, or ancestor of labels, is right; null where one of them is."""
    return (label == predicted) | label.startswith(F.concat(predicted, F.lit(SEPARATOR)))


def sum_members(probabilities: np.ndarray, depth: Depth) -> np.ndarray:
    """Sums the probabilities of labels, float64 `[n, k]`, by ancestor, `[n, ancestors]`."""
    sums = np.zeros((len(probabilities), len(depth.ancestors)))
    for number in range(len(depth.ancestors)):
        sums[:, number] = probabilities[:, depth.members == number].sum(axis=1)
    return sums


def choose_ancestor_thresholds(
    predictions: LabelledPredictions,
    threshold: float | np.ndarray,
    target_precision: float,
    weights: np.ndarray,
    reserve: float = 0.0,
) -> dict[int, float]:
    """Chooses the minimum confidence of an answer at each depth, of images that no deeper answer was sure enough for.

    Each depth keeps the target by itself, and so do all answers together.

    Args:
        predictions: calibrated.
        threshold: minimum confidence of an answer with a label itself, the same or one for each prediction; infinite
            where there is none.
        target_precision: required precision, 0 to 1.
        weights: weight of each prediction, float64 `[n]`.
        reserve: share of the allowed errors that must not be observed.

    Returns:
        Thresholds by depth; a depth without one is not answered.
    """
    is_open = predictions.confidence < threshold
    thresholds = {}
    for depth in list_depths(predictions.classes):
        best, confidence = _find_best(predictions, depth)
        truth = np.array([cut_label(label, depth.depth) for label in predictions.labels], object)
        right = np.array(depth.ancestors, object)[best] == truth
        found = choose_threshold(confidence[is_open], right[is_open], target_precision, weights[is_open], reserve)
        if found is not None:
            thresholds[depth.depth] = found
            is_open &= confidence < found
    return thresholds


def _find_best(predictions: LabelledPredictions, depth: Depth) -> tuple[np.ndarray, np.ndarray]:
    if predictions.places is not None:
        return find_best_of_top(predictions.probabilities, predictions.places, depth)
    sums = sum_members(predictions.probabilities, depth)
    return sums.argmax(axis=1), sums.max(axis=1)


def find_best_of_top(probabilities: np.ndarray, places: np.ndarray, depth: Depth) -> tuple[np.ndarray, np.ndarray]:
    """Finds the most probable ancestor of the most probable of many labels; the others do not count.

    Args:
        probabilities: the largest ones first, float64 `[n, at least t]`.
        places: labels of the first t, int `[n, t]`.
        depth: the ancestors.

    Returns:
        Its index, int64 `[n]`, and its probability, float64 `[n]`.
    """
    members, top = depth.members[places], probabilities[:, : places.shape[1]]
    sums = np.where(members[:, :, None] == members[:, None, :], top[:, None, :], 0).sum(axis=2)
    rows, best = np.arange(len(sums)), sums.argmax(axis=1)
    return members[rows, best], sums[rows, best]


def find_ancestors(probabilities: Column, labels: Sequence[str]) -> Column:
    """Finds the most probable ancestor at each depth, the deepest first: `struct<depth, label, confidence>`.

    Args:
        probabilities: array of the probability of each label.
        labels: the labels, in the same order.
    """
    found = [_find_most_probable(probabilities, depth) for depth in list_depths(labels)]
    return F.array(*found) if found else F.array().cast("array<struct<depth:int,label:string,confidence:double>>")


def _find_most_probable(probabilities: Column, depth: Depth) -> Column:
    numbers = range(len(depth.ancestors))
    members = F.array(*(F.array(*map(F.lit, np.flatnonzero(depth.members == number).tolist())) for number in numbers))
    sums = F.transform(
        members,
        lambda own, number: F.struct(
            F.aggregate(own, F.lit(0.0), lambda total, place: total + F.get(probabilities, place)).alias("sum"),
            (-number).alias("rank"),
        ),
    )
    best = F.array_max(sums)
    label = F.get(F.array(*map(F.lit, depth.ancestors)), -best["rank"])
    return F.struct(F.lit(depth.depth).alias("depth"), label.alias("label"), best["sum"].alias("confidence"))
