"""Calibration: a temperature for the probabilities, and the confidence threshold of auto-accepted predictions.

Both are fitted to predictions for images that the classifier was not trained on (`cross_fit.py`), never to the holdout.
The searches stay hand-written: another minimiser would change the temperature and thereby stored probabilities.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.evaluation.intervals import lower_bound_of_share
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.evaluation.thresholds import choose_threshold

TEMPERATURES: Final = (0.05, 20.0)  # search range; if every prediction is correct, the likelihood has no maximum
SAMPLED: Final = 20_000  # images that the searches read, of more than `MANY` classes
STEP_COUNT: Final = 60  # steps of a search; each golden-section step leaves 0.62 of the range
MIN_PROBABILITY: Final = 1e-12  # lower bound in the search; it bounds the loss of one image
TINY: Final = 1e-300  # replaces a probability of 0, whose power at a low temperature would be 0 for all classes


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold of a classifier; the names are keys of `evaluation.json`."""

    temperature: float  # divisor of the logits; above 1 for an overconfident classifier
    threshold: float | None  # minimum confidence of an auto-accepted prediction; None if none is certain enough
    target_precision: float  # target precision of auto-accepted predictions
    expected_precision: float | None  # their precision in the cross-fit; None without a threshold
    coverage: float  # share of auto-accepted predictions in the cross-fit
    picture_count: int  # images in the cross-fit

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Calibration":
        """Reads the result of `to_dict`; version 0.1.0 stored the target as `promised_precision`."""
        values = {"target_precision" if name == "promised_precision" else name: stored[name] for name in stored}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Converts to plain values, for `evaluation.json`."""
        return asdict(self)


UNCALIBRATED: Final = Calibration(1.0, 0.6, 0.95, None, 0.0, 0)
"""Calibration of a classifier without cross-fit: probabilities as they are."""


def calibrate(
    predictions: LabelledPredictions,
    target_precision: float,
    weights: np.ndarray | None = None,
    reserve: float = 0.0,
) -> Calibration:
    """Fits temperature and threshold; without predictions there is no threshold.

    Args:
        predictions: by classifiers for images that they were not trained on.
        target_precision: required precision of auto-accepted predictions, 0 to 1.
        weights: weight of each prediction, float64 `[n]`; by default all count the same.
        reserve: share of the errors allowed by the target that must not be observed, 0 to 1.
    """
    if len(predictions) == 0:
        return replace(UNCALIBRATED, threshold=None, target_precision=target_precision)
    each = np.ones(len(predictions)) if weights is None else weights
    total, is_right = each.sum(), predictions.is_right
    sample = slice(None) if predictions.sizes is None else slice(None, None, 1 + len(predictions) // SAMPLED)
    probabilities, label_index = predictions.probabilities[sample], predictions.label_index[sample]
    fitted = fit_temperature(probabilities, label_index, each[sample], predictions.sizes)
    max_confidence = (each[is_right].sum() + 1) / (total + 2)
    temperature = dampen(probabilities, fitted, max_confidence, each[sample], predictions.sizes)
    confidence = soften(predictions.probabilities, temperature, predictions.sizes).max(axis=1)
    threshold = choose_threshold(confidence, is_right, target_precision, each, reserve)
    is_accepted = confidence >= threshold if threshold is not None else np.zeros(len(predictions), bool)
    accepted = each[is_accepted].sum()
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        target_precision=target_precision,
        expected_precision=float(each[is_accepted & is_right].sum() / accepted) if accepted else None,
        coverage=float(accepted / total),
        picture_count=round(total),
    )


def keep_promise(calibration: Calibration, predictions: LabelledPredictions) -> Calibration:
    """Raises the threshold if labelled predictions prove that it breaks the promise, until they keep it.

    Args:
        calibration: as fitted without these predictions.
        predictions: calibrated.
    """
    if calibration.threshold is None or len(predictions) == 0:
        return calibration
    confidence, is_right, target = predictions.confidence, predictions.is_right, calibration.target_precision
    is_accepted = confidence >= calibration.threshold
    if not is_accepted.any():
        return calibration
    wrong = 1 - is_right[is_accepted].mean()
    if lower_bound_of_share(wrong, is_accepted.sum()) <= 1 - target:
        return calibration
    threshold = choose_threshold(confidence, is_right, target)
    kept = confidence >= threshold if threshold is not None else np.zeros(len(predictions), bool)
    expected = float(is_right[kept].mean()) if kept.any() else None
    return replace(calibration, threshold=threshold, expected_precision=expected, coverage=float(kept.mean()))


def fit_temperature(
    probabilities: np.ndarray,
    label_index: np.ndarray,
    weights: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
) -> float:
    """Finds the temperature with the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    Args:
        probabilities: float64 `[n, k]`.
        label_index: int `[n]`; images with -1, whose label is not a class, are ignored.
        weights: weight of each image, float64 `[n]`; by default all count the same.
        sizes: number of classes that each column stands for, float64 `[k]`; by default one each.
    """
    is_known = label_index >= 0
    logits, places = np.log(np.maximum(probabilities[is_known], MIN_PROBABILITY)), label_index[is_known]
    if len(places) == 0:
        return 1.0
    known_weights = None if weights is None else weights[is_known]

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        losses = np.log(_sum_columns(np.exp(scaled), sizes)) - scaled[np.arange(len(places)), places]
        return float(np.average(losses, weights=known_weights))

    low, high = np.log(TEMPERATURES)
    shrink = (5**0.5 - 1) / 2
    for _ in range(STEP_COUNT):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


def dampen(
    probabilities: np.ndarray,
    temperature: float,
    max_confidence: float,
    weights: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
) -> float:
    """Raises the temperature until the mean confidence is at most `max_confidence`.

    Without errors on a few images, the most likely temperature would make every prediction certain. Laplace's rule of
    succession, (correct + 1) / (all + 2), bounds the confidence that so few images justify.
    """

    def is_enough(log_temperature: float) -> bool:
        confidence = soften(probabilities, float(np.exp(log_temperature)), sizes).max(axis=1)
        return bool(np.average(confidence, weights=weights) <= max_confidence)

    low, high = np.log(temperature), np.log(TEMPERATURES[1])
    if is_enough(low):
        return temperature
    for _ in range(STEP_COUNT):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return float(np.exp(high))


def soften(probabilities: np.ndarray, temperature: float | np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
    """Rescales probabilities by a temperature: softmax(log p / T), float64 `[n, k]`; `sizes`: `fit_temperature`.

    The temperature is one for all images, or float64 `[n, 1]`.
    """
    powers = np.maximum(probabilities, TINY) ** (1 / temperature)
    return powers / _sum_columns(powers, sizes)[:, None]


def _sum_columns(powers: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    return np.asarray(powers.sum(axis=1) if sizes is None else powers @ sizes)


def soften_predictions(predictions: LabelledPredictions, temperature: float) -> LabelledPredictions:
    """Rescales the probabilities of predictions by a temperature; those of sets have their own and stay."""
    if isinstance(predictions, SetPredictions):
        return predictions
    return replace(predictions, probabilities=soften(predictions.probabilities, temperature, predictions.sizes))


def soften_column(probabilities: Column, temperature: float | Column) -> Column:
    """Like `soften`, for a column of arrays, by one temperature or by one for each row."""
    if not isinstance(temperature, Column) and temperature == 1:
        return probabilities
    exponent = 1 / temperature if isinstance(temperature, Column) else F.lit(1 / temperature)
    powers = F.transform(probabilities, lambda share: F.pow(F.greatest(share, F.lit(TINY)), exponent))
    total = F.aggregate(powers, F.lit(0.0), lambda sum_, power: sum_ + power)
    return F.transform(powers, lambda power: power / total)
