"""Scores of sets: how good the answers to yes/no questions are, by label, over all labels, and for whole sets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.evaluation.intervals import interval_of_share
from pipeline.evaluation.reliability import bin_predictions, calibration_error, chance_error
from pipeline.evaluation.scores import (
    MAX_WRONG_COUNT,
    RESAMPLE_COUNT,
    ClassScore,
    Evaluation,
    Interval,
    Reliability,
    WrongPrediction,
    score,
)
from pipeline.evaluation.set_calibration import list_sure
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.images.label_sets import deny


@dataclass(frozen=True)
class Promise:
    """How one answer keeps the target precision on labelled images; shares from 0 to 1."""

    threshold: float | None  # minimum confidence of the answer; None if it is never given
    coverage: float  # share of the images with this as the likelier answer that have it for sure
    count: int  # images that have it for sure
    precision: float | None  # share of these for which it is right; None without any
    interval: Interval  # its 95 % interval


def measure_promises(predictions: SetPredictions, thresholds: Mapping[str, float]) -> dict[str, Promise]:
    """Measures the promise of each answer, a label or its denial, on calibrated predictions for labelled images."""
    sure, holds = list_sure(predictions, thresholds), predictions.holds
    promises = {}
    for place, label in enumerate(predictions.classes):
        is_yes = predictions.probabilities[:, place] >= 0.5
        for answer, own, right in ((label, is_yes, holds[:, place]), (deny(label), ~is_yes, ~holds[:, place])):
            given = own & sure[:, place]
            count = int(given.sum())
            precision = float(right[given].mean()) if count else None
            promises[answer] = Promise(
                thresholds.get(answer),
                count / max(1, int(own.sum())),
                count,
                precision,
                interval_of_share(precision or 0.0, count),
            )
    return promises


def evaluate_sets(predictions: SetPredictions, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Compares calibrated predictions with the sets of labelled images, for `evaluation.json`.

    `accuracy` is the share of whole sets that are right, `classes` has a score of each label, `macro_f1` is their mean,
    and reliability is that of all answers. An image is auto-accepted if all its answers are sure.
    """
    whole = score(Counter(zip(predictions.labels.tolist(), predictions.predicted.tolist(), strict=True)))
    truth, found = predictions.holds, predictions.probabilities >= 0.5
    scores = {label: _score_label(truth[:, n], found[:, n]) for n, label in enumerate(predictions.classes)}
    random, count = np.random.default_rng(0), len(predictions)
    draws = (random.integers(0, count, count) for _ in range(RESAMPLE_COUNT))
    resampled = np.array([_measure_f1(truth[draw], found[draw]) for draw in draws])
    macro_f1, micro_f1 = _measure_f1(truth, found)
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    whole = replace(whole, classes=scores, macro_f1=macro_f1, macro_f1_interval=(float(low[0]), float(high[0])))
    promises = {name: asdict(each) for name, each in measure_promises(predictions, thresholds).items()}
    return {
        **Evaluation(whole, _measure_reliability(predictions, thresholds), _list_mistakes(predictions)).to_dict(),
        "micro_f1": micro_f1,
        "micro_f1_interval": [float(low[1]), float(high[1])],
        "promises": {name: {**each, "interval": list(each["interval"])} for name, each in promises.items()},
    }


def _score_label(truth: np.ndarray, found: np.ndarray) -> ClassScore:
    right, own, predicted = (int(each.sum()) for each in (truth & found, truth, found))
    precision, recall = (right / count if count else 0.0 for count in (predicted, own))
    return ClassScore(
        precision=precision,
        precision_interval=interval_of_share(precision, predicted),
        recall=recall,
        recall_interval=interval_of_share(recall, own),
        f1=2 * right / (own + predicted) if own + predicted else 0.0,
        support=own,
    )


def _measure_f1(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The mean F1 of the labels, and the F1 of all answers together."""
    right, total = (truth & found).sum(axis=0), truth.sum(axis=0) + found.sum(axis=0)
    each = np.divide(2 * right, total, out=np.zeros(len(right)), where=total > 0)
    return float(each.mean()), float(2 * right.sum() / max(1, total.sum()))


def _measure_reliability(predictions: SetPredictions, thresholds: Mapping[str, float]) -> Reliability:
    answers, is_given = predictions.by_answer, list_sure(predictions, thresholds).all(axis=1)
    count = int(is_given.sum())
    precision = float(np.mean(predictions.is_right, where=is_given)) if count else None
    bins = bin_predictions(answers.confidence, answers.is_right)
    return Reliability(
        calibration_error=calibration_error(bins),
        chance_error=chance_error(answers.confidence),
        bins=bins,
        coverage=count / len(predictions),
        given_count=count,
        given_precision=precision,
        given_interval=interval_of_share(precision or 0.0, count),
    )


def _list_mistakes(predictions: SetPredictions) -> list[WrongPrediction]:
    confidence = predictions.confidence
    falling: Sequence[int] = np.argsort(-confidence, kind="stable").tolist()
    wrong = [n for n in falling if not predictions.is_right[n]][:MAX_WRONG_COUNT]
    ids, labels, predicted = predictions.image_ids, predictions.labels, predictions.predicted
    return [WrongPrediction(ids[n], labels[n], predicted[n], float(confidence[n])) for n in wrong]
