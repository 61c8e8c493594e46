"""Calibration of sets: the temperature of each yes/no question, and the minimum confidence of each of its two answers.

An answer is a label (it holds) or its denial; each keeps the target precision by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.evaluation.calibration import soften
from pipeline.evaluation.intervals import lower_bound_of_share
from pipeline.evaluation.set_predictions import NO, YES, SetPredictions
from pipeline.evaluation.thresholds import choose_threshold
from pipeline.images.label_sets import deny


def soften_sets(predictions: SetPredictions, temperatures: Mapping[str, float]) -> SetPredictions:
    """Rescales the probabilities of each question by its temperature."""
    shares = [
        soften(np.column_stack([1 - own, own]), temperatures[label])[:, 1]
        for label, own in zip(predictions.classes, predictions.probabilities.T, strict=True)
    ]
    return replace(predictions, probabilities=np.column_stack(shares))


def choose_answer_thresholds(
    predictions: SetPredictions, target_precision: float, weights: np.ndarray | None = None, reserve: float = 0.0
) -> dict[str, float]:
    """Finds the minimum confidence of each answer at which it surely keeps the target precision.

    Args:
        predictions: calibrated.
        target_precision: required precision of each answer, 0 to 1.
        weights: weight of each image, float64 `[n]`; by default all count the same.
        reserve: share of the allowed errors that must not be observed.

    Returns:
        Thresholds by answer; one without is never sure enough.
    """
    thresholds = {}
    for label in predictions.classes:
        about = predictions.about(label)
        for side, answer in ((NO, deny(label)), (YES, label)):
            own = about.predicted == side
            each = None if weights is None else weights[own]
            found = choose_threshold(about.confidence[own], about.is_right[own], target_precision, each, reserve)
            if found is not None:
                thresholds[answer] = found
    return thresholds


def keep_answers(
    thresholds: Mapping[str, float], predictions: SetPredictions, target_precision: float
) -> dict[str, float]:
    """Raises thresholds of which labelled, calibrated predictions prove that they break the promise."""
    kept = dict(thresholds)
    for label in predictions.classes:
        about = predictions.about(label)
        for side, answer in ((NO, deny(label)), (YES, label)):
            own = about.predicted == side
            confidence, is_right = about.confidence[own], about.is_right[own]
            given = is_right[confidence >= thresholds.get(answer, np.inf)]
            if len(given) and lower_bound_of_share(1 - given.mean(), np.array(len(given))) > 1 - target_precision:
                found = choose_threshold(confidence, is_right, target_precision)
                kept.pop(answer) if found is None else kept.update({answer: found})
    return kept


def list_sure(predictions: SetPredictions, thresholds: Mapping[str, float]) -> np.ndarray:
    """Finds the questions that are answered surely enough, bool `[n, k]`."""
    shares = predictions.probabilities
    asked: Sequence[tuple[float, float]] = [
        (thresholds.get(deny(label), np.inf), thresholds.get(label, np.inf)) for label in predictions.classes
    ]
    limits = np.array(asked).reshape(len(asked), 2)
    return np.asarray(np.maximum(shares, 1 - shares) >= np.where(shares >= 0.5, limits[:, 1], limits[:, 0]))
