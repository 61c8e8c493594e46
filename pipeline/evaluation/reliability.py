"""Reliability: how far confidence and accuracy differ, bin by bin, and how far chance lets them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence; shares from 0 to 1."""

    confidence: float
    accuracy: float
    count: int


BINS: Final = 10


def bin_predictions(confidence: np.ndarray, is_right: np.ndarray) -> list[Bin]:
    """Answers in ten bins of equal width by confidence; empty ones are left out."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [place == number for number in range(BINS)]
    return [Bin(float(confidence[b].mean()), float(is_right[b].mean()), int(b.sum())) for b in bins if b.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean difference of confidence and accuracy, by the counts of the bins."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total if total else 0.0


def chance_error(confidence: np.ndarray, draws: int = 500, seed: int = 20260101) -> float:
    """The calibration error that confidences which are all true have by chance, at most, 95 times of 100.

    Consistency resampling (Bröcker and Smith 2007): answers are right or wrong as their confidence says, many times.
    """
    random = np.random.default_rng(seed)
    draw = (random.random(len(confidence)) < confidence for _ in range(draws))
    errors = [calibration_error(bin_predictions(confidence, is_right)) for is_right in draw]
    return float(np.quantile(errors, 0.95))
