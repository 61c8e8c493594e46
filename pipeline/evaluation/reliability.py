"""Reliability: the difference between confidence and accuracy in bins, and the difference that chance gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence; shares from 0 to 1."""

    confidence: float
    accuracy: float
    count: int


def bin_predictions(confidence: np.ndarray, is_right: np.ndarray) -> list[Bin]:
    """Sorts predictions into ten bins of equal width by confidence; empty bins are left out."""
    place = np.minimum((confidence * 10).astype(int), 9)
    bins = [place == number for number in range(10)]
    return [Bin(float(confidence[b].mean()), float(is_right[b].mean()), int(b.sum())) for b in bins if b.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Computes the expected calibration error: the mean gap between confidence and accuracy, weighted by count."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total if total else 0.0


def chance_error(confidence: np.ndarray, draw_count: int = 500, seed: int = 20260101) -> float:
    """Computes the 95 % quantile of the calibration error of perfectly calibrated confidences.

    Consistency resampling (Bröcker and Smith 2007): predictions are drawn right or wrong with their confidence.
    """
    random = np.random.default_rng(seed)
    draws = (random.random(len(confidence)) < confidence for _ in range(draw_count))
    errors = [calibration_error(bin_predictions(confidence, is_right)) for is_right in draws]
    return float(np.quantile(errors, 0.95))
