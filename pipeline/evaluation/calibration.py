"""Calibration: probabilities that say how often an answer is right, and the confidence from which one may act on it.

Both are told from answers to pictures that the answering classifier never saw (`cross_fit.py`), never from the holdout.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.evaluation.intervals import lower_bound_of_share
from pipeline.evaluation.labelled_predictions import LabelledPredictions

PROMISED_PRECISION: Final = 0.95
TEMPERATURES: Final = (0.05, 20.0)
"""Between these the best one is sought; without a mistake there would be none."""

COVERAGES: Final = 20
"""That are tried for the threshold."""

STEPS: Final = 60
"""Of the search, each of which leaves 0.62 of the range."""

LEAST: Final = 1e-12
"""Probability below which none counts in the search, so that one picture cannot cost infinitely much."""

TINIEST: Final = 1e-300
"""In the place of a probability of 0, whose power at a low temperature would be 0 for all classes."""


@dataclass(frozen=True)
class Calibration:
    """How the probabilities of a head are to be read.

    Attributes:
        temperature: by which logits are divided: above 1 where the head is too sure.
        threshold: least confidence of an answer that is given; None where no answer is sure enough.
        promised_precision: share of the answers given that shall be right.
        expected_precision: share of them that was right on the pictures of the cross-fit; None without a threshold.
        coverage: share of those pictures that would have been given an answer.
        picture_count: of the cross-fit.
    """

    temperature: float
    threshold: float | None
    promised_precision: float
    expected_precision: float | None
    coverage: float
    picture_count: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for `evaluation.json`."""
        return asdict(self)


UNCALIBRATED: Final = Calibration(1.0, 0.6, PROMISED_PRECISION, None, 0.0, 0)
"""Of a classifier that was fitted without cross-fit: probabilities as they are, and no promise."""


def calibrate(answers: LabelledPredictions, promised_precision: float) -> Calibration:
    """Finds temperature and threshold.

    Args:
        answers: of classifiers to pictures that they were not fitted on; of none nothing is promised.
        promised_precision: share of the answers given that shall be right, 0 to 1.
    """
    if len(answers) == 0:
        return replace(UNCALIBRATED, threshold=None, promised_precision=promised_precision)
    fitted = fit_temperature(answers.probabilities, answers.label_index)
    temperature = dampen(answers.probabilities, fitted, (answers.is_right.sum() + 1) / (len(answers) + 2))
    confidence = soften(answers.probabilities, temperature).max(axis=1)
    threshold = choose_threshold(confidence, answers.is_right, promised_precision)
    given = confidence >= threshold if threshold is not None else np.zeros(len(answers), bool)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        promised_precision=promised_precision,
        expected_precision=float(answers.is_right[given].mean()) if given.any() else None,
        coverage=float(given.mean()),
        picture_count=len(answers),
    )


def fit_temperature(probabilities: np.ndarray, label_index: np.ndarray) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), by golden section.

    Args:
        probabilities: float64 `[n, k]`.
        label_index: int `[n]`, -1 where the label is none of the classes; such pictures say nothing of it.
    """
    known = label_index >= 0
    logits, places = np.log(np.maximum(probabilities[known], LEAST)), label_index[known]
    if len(places) == 0:
        return 1.0

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(places)), places]))

    low, high = np.log(TEMPERATURES)
    shrink = (5**0.5 - 1) / 2
    for _ in range(STEPS):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


def dampen(probabilities: np.ndarray, temperature: float, most: float) -> float:
    """The temperature, raised until the mean confidence is at most this.

    Without a mistake on a few pictures the likeliest temperature would make every answer certain; Laplace's rule of
    succession, (right + 1) / (all + 2), is what so few pictures can say at most.
    """
    low, high = np.log(temperature), np.log(TEMPERATURES[1])
    if soften(probabilities, temperature).max(axis=1).mean() <= most:
        return temperature
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_enough = soften(probabilities, float(np.exp(middle))).max(axis=1).mean() <= most
        low, high = (low, middle) if is_enough else (middle, high)
    return float(np.exp(high))


def choose_threshold(confidence: np.ndarray, is_right: np.ndarray, promised_precision: float) -> float | None:
    """The least confidence from which on answers are right as often as promised.

    "As often" is the one-sided 95 % lower bound of the share that was right, so that a promise is kept by more than
    luck; what no number of pictures proves is not promised. Tried are twenty coverages, each a twentieth more: among
    thousands the best would be best by luck.

    Returns:
        A confidence that one of the pictures had, or None where there is none.
    """
    if len(confidence) == 0:
        return None
    steps = np.ceil(np.arange(1, COVERAGES + 1) * len(confidence) / COVERAGES).astype(int) - 1
    thresholds = np.sort(confidence)[::-1][steps]
    counts = np.array([(confidence >= threshold).sum() for threshold in thresholds])
    rights = np.array([is_right[confidence >= threshold].sum() for threshold in thresholds])
    kept = lower_bound_of_share(rights / counts, counts) >= promised_precision
    return float(thresholds[kept][-1]) if kept.any() else None


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature: softmax(log p / T), float64 `[n, k]`."""
    powers = np.maximum(probabilities, TINIEST) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def soften_predictions(answers: LabelledPredictions, temperature: float) -> LabelledPredictions:
    """The same answers with their probabilities at another temperature."""
    return replace(answers, probabilities=soften(answers.probabilities, temperature))


def soften_column(probabilities: Column, temperature: float) -> Column:
    """As `soften`, for a column of arrays."""
    if temperature == 1:
        return probabilities
    powers = F.transform(probabilities, lambda share: F.pow(F.greatest(share, F.lit(TINIEST)), F.lit(1 / temperature)))
    total = F.aggregate(powers, F.lit(0.0), lambda sum_, power: sum_ + power)
    return F.transform(powers, lambda power: power / total)
