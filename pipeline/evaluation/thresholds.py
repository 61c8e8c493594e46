"""Thresholds: the minimum confidence at which predictions keep a target precision, together and for each label."""

from typing import Final

import numpy as np

from pipeline.evaluation.intervals import lower_bound_of_share

THRESHOLD_COUNT: Final = 50  # thresholds to try
ROUNDING: Final = 1e-9  # of sums of weights


def choose_threshold(
    confidence: np.ndarray,
    is_right: np.ndarray,
    target_precision: float,
    weights: np.ndarray | None = None,
    reserve: float = 0.0,
) -> float | None:
    """Finds the lowest confidence above which predictions reach the target precision.

    The one-sided 95 % lower bound of the precision must reach it, not the observed precision, which may be chance.
    Fifty thresholds are tried, at equal steps of coverage: the best of thousands would be the best by chance. Returns
    None if no threshold reaches the target. Of the errors that the target allows, the observed ones leave a reserve.
    """
    if len(confidence) == 0:
        return None
    each = np.ones(len(confidence)) if weights is None else weights
    falling = np.argsort(-confidence, kind="stable")
    reached = np.cumsum(each[falling])
    wanted = np.arange(1, THRESHOLD_COUNT + 1) * reached[-1] / THRESHOLD_COUNT
    steps = np.minimum(np.searchsorted(reached, wanted - ROUNDING), len(confidence) - 1)
    thresholds = confidence[falling][steps]
    counts = np.array([each[confidence >= threshold].sum() for threshold in thresholds])
    rights = np.array([each[is_right & (confidence >= threshold)].sum() for threshold in thresholds])
    shares = rights / counts
    kept = lower_bound_of_share(shares, counts) >= target_precision
    kept &= 1 - shares <= (1 - target_precision) * (1 - reserve)
    return float(thresholds[kept][-1]) if kept.any() else None


def choose_label_thresholds(
    confidence: np.ndarray, labels: np.ndarray, is_right: np.ndarray, target_precision: float, weights: np.ndarray
) -> np.ndarray:
    """Finds for each label the lowest confidence above which its predictions reach the target precision.

    The observed precision must reach it, for labels have too few images for bounds.

    Args:
        confidence: float64 `[n]`.
        labels: predicted labels, `[n]`.
        is_right: bool `[n]`.
        target_precision: required precision, 0 to 1.
        weights: weight of each prediction, float64 `[n]`.

    Returns:
        The threshold of the label of each prediction, float64 `[n]`; 0 where all of them together reach the target,
        infinite where no confidence does.
    """
    thresholds = np.full(len(confidence), np.inf)
    numbers = np.unique(labels, return_inverse=True)[1]
    falling = np.lexsort((-confidence, numbers))
    for own in np.split(falling, np.flatnonzero(np.diff(numbers[falling])) + 1):
        wrong, total = np.cumsum(weights[own] * ~is_right[own]), np.cumsum(weights[own])
        wrong = np.divide(wrong, total, out=np.full_like(total, np.inf), where=total > 0)
        reached = np.flatnonzero(wrong <= 1 - target_precision + ROUNDING)
        if len(reached):
            thresholds[own] = confidence[own[reached[-1]]] if reached[-1] < len(own) - 1 else 0.0
    return thresholds
