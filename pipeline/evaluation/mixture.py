"""Mixtures: how hard images without labels are for a classifier, and the calibration that follows.

Cross-fits of growing hardness have predicted the training images: the harder, the less like them the model had seen.
The mean confidence of new images lies between those of two neighbouring cross-fits; the answers of these two, weighted
so that their mean confidence is the same, stand for the new images.
Related: average thresholded confidence estimates accuracy the same way (Garg et al. 2022, arXiv:2201.04234).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from pipeline.evaluation.calibration import (
    UNCALIBRATED,
    Calibration,
    calibrate,
    keep_promise,
    soften_predictions,
)
from pipeline.evaluation.hierarchy import choose_ancestor_thresholds
from pipeline.evaluation.labelled_predictions import LabelledPredictions, join_predictions
from pipeline.evaluation.set_calibration import choose_answer_thresholds
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.evaluation.thresholds import choose_label_thresholds, choose_threshold

BEYOND: Final = 0.1  # of mean confidence below the hardest cross-fit
RESERVE: Final = 0.4  # share of the allowed errors; docs/difficulty.md has the measurements
MIN_NEW_RESERVE: Final = 0.1  # added to the reserve where images seem to be of a class never seen
NEW_RESERVE: Final = 8.0  # times their squared share, if that is more: a small cluster is often of known classes
MAX_RESERVE: Final = 0.8
"""Of a new class, some images are not found, and all of them are answered wrongly."""


@dataclass(frozen=True)
class Thresholds:
    """Minimum confidences of answers.

    Attributes:
        threshold: of an answer with a label; None if none is sure enough.
        labels: of labels that need more, by label; infinite for one that is never answered. Of sets, those of all
            answers, a label or its denial; one that is never given is not there.
        ancestors: of an answer with an ancestor of the labels, by its depth; empty for flat labels.
    """

    threshold: float | None
    labels: Mapping[str, float] = field(default_factory=dict)
    ancestors: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mixture:
    """Two neighbouring cross-fits and their shares.

    Attributes:
        easier: number of the easier cross-fit.
        share: share of the next harder one, 0 to 1.
        is_beyond: whether the images are so much harder than the hardest cross-fit that it cannot stand for them.
    """

    easier: int
    share: float
    is_beyond: bool = False

    @property
    def hardness(self) -> float:
        """Number of the cross-fit that is as hard; 0 for random folds."""
        return self.easier + self.share


def mix(levels: Sequence[LabelledPredictions], confidence: float) -> Mixture:
    """Finds the mixture whose mean confidence is this.

    Args:
        levels: answers of the cross-fits, not calibrated, the easiest first.
        confidence: mean confidence of the new images, not calibrated.
    """
    if len(levels[0]) == 0:
        return Mixture(0, 0.0)
    means = np.minimum.accumulate([float(level.confidence.mean()) for level in levels])
    if not confidence < means[0]:
        return Mixture(0, 0.0)
    if confidence <= means[-1]:
        is_beyond = bool(confidence < means[-1] - BEYOND)
        return Mixture(max(0, len(levels) - 2), 1.0 if len(levels) > 1 else 0.0, is_beyond)
    easier = int(np.flatnonzero(means > confidence)[-1])
    return Mixture(easier, float((means[easier] - confidence) / (means[easier] - means[easier + 1])))


def weigh(levels: Sequence[LabelledPredictions], mixture: Mixture) -> tuple[LabelledPredictions, np.ndarray]:
    """Joins the answers of a mixture, with the weight of each; the weights sum to the number of images."""
    easier = levels[mixture.easier]
    if mixture.share == 0:
        return easier, np.ones(len(easier))
    harder = levels[mixture.easier + 1]
    scale = len(easier) / len(harder)
    weights = np.repeat([1 - mixture.share, mixture.share * scale], [len(easier), len(harder)])
    return join_predictions([easier, harder]), weights


def calibrate_mixture(
    levels: Sequence[LabelledPredictions], mixture: Mixture, target_precision: float
) -> tuple[Calibration, float]:
    """Fits temperature and threshold to a mixture; returns them with its accuracy.

    Sets are calibrated already, and get their thresholds by `choose_thresholds`.
    Where images are harder than random folds, a part of the errors that the target allows is kept in reserve.
    """
    answers, weights = weigh(levels, mixture)
    accuracy = float(np.average(answers.is_right, weights=weights)) if len(answers) else 0.0
    if isinstance(answers, SetPredictions):
        return replace(UNCALIBRATED, threshold=None, target_precision=target_precision), accuracy
    found = calibrate(answers, target_precision, weights, _reserve(mixture))
    return (replace(found, threshold=None, coverage=0.0) if mixture.is_beyond else found), accuracy


def choose_thresholds(
    levels: Sequence[LabelledPredictions], mixture: Mixture, calibration: Calibration, new_share: float = 0.0
) -> Thresholds:
    """Chooses thresholds at which each label keeps the target, and at which all answers together surely do.

    Errors that lie with some labels raise the thresholds of these; the others then need less, and a day that has mostly
    images of such labels keeps the promise too.

    Args:
        levels: answers of the cross-fits, not calibrated, the easiest first.
        mixture: the mixture that stands for the images.
        calibration: result of `calibrate_mixture`.
        new_share: share of the images that seem to be of a class never seen, 0 to 1.
    """
    if mixture.is_beyond or len(levels[0]) == 0:
        return Thresholds(None)
    answers, weights = weigh(levels, mixture)
    target = calibration.target_precision
    added = max(MIN_NEW_RESERVE, NEW_RESERVE * new_share**2) if new_share else 0.0
    reserve = min(MAX_RESERVE, _reserve(mixture) + added)
    if isinstance(answers, SetPredictions):
        found = choose_answer_thresholds(answers, target, weights, reserve)
        return Thresholds(min(found.values(), default=None), found)
    softened = soften_predictions(answers, calibration.temperature)
    confidence, is_right, predicted = softened.confidence, softened.is_right, softened.predicted
    least = choose_label_thresholds(confidence, predicted, is_right, target, weights)
    kept = confidence >= least
    threshold = choose_threshold(confidence[kept], is_right[kept], target, weights[kept], reserve)
    if threshold is None:
        broader = choose_ancestor_thresholds(softened, np.inf, target, weights, reserve)
        return Thresholds(None, ancestors=broader)
    is_raised = least > threshold
    names, places = np.unique(predicted[is_raised], return_index=True)
    raised = dict(zip(map(str, names), least[is_raised][places].tolist(), strict=True))
    broader = choose_ancestor_thresholds(softened, np.maximum(least, threshold), target, weights, reserve)
    return Thresholds(threshold, raised, broader)


def _reserve(mixture: Mixture) -> float:
    return RESERVE * min(1.0, mixture.hardness)


def calibrate_on(
    levels: Sequence[LabelledPredictions], holdout: LabelledPredictions, target_precision: float
) -> Calibration:
    """Calibrates by the mixture that is as hard as the holdout, and keeps the promise on its labels.

    A holdout from elsewhere, such as a folder `validation`, is evidence of how hard days will be.

    Args:
        levels: answers of the cross-fits, not calibrated, the easiest first.
        holdout: predictions of the classifier, not calibrated.
        target_precision: required precision of auto-accepted predictions, 0 to 1.
    """
    mixture = mix(levels, float(holdout.confidence.mean()) if len(holdout) else 1.0)
    calibration, _ = calibrate_mixture(levels, mixture, target_precision)
    return keep_promise(calibration, soften_predictions(holdout, calibration.temperature))
