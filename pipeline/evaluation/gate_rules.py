"""Rules of the gate: what a candidate must satisfy to be promoted, and the result of each rule in one sentence.

The candidate is compared with the classifier in use on the same images, to which neither was fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.evaluation.intervals import sign_test
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.reliability import bin_predictions, calibration_error, chance_error

SIGNIFICANCE: Final = 0.05  # probability that a candidate passes without being better
MIN_CLASS_IMAGES: Final = 10  # images of a class below which its recall is not judged
MIN_HOLDOUT_IMAGES: Final = 50  # below which a failed calibration is probably bad luck
MIN_TRAIN_IMAGES: Final = 10  # of a label on average, below which a low accuracy is no surprise
SHOWN_LABELS: Final = 10  # in a message
SHOWN_FAULTS: Final = 30
MIN_KEPT_SHARE: Final = 0.5  # of the previous holdout images that must still be in the holdout
MAX_RELABELLED_SHARE: Final = 0.1  # of the kept images with another label than before
NO_CLASSIFIER: Final = "no classifier in use yet"


class PromotionError(RuntimeError):
    """A classifier cannot be promoted; the message gives the reason and the cure."""


@dataclass(frozen=True)
class Thresholds:
    """Limits of a candidate; shares from 0 to 1, costs as multiples of the classifier in use."""

    accuracy: float = 0.8  # minimum on the holdout
    class_recall: float = 0.5  # minimum of every class
    calibration_error: float = 0.05  # maximum expected calibration error, unless chance gives more
    slowdown: float = 1.5  # maximum time per image
    growth: float = 2.0  # maximum size of the graph


@dataclass(frozen=True)
class Candidate:
    """A classifier in the comparison."""

    version: str
    predictions: LabelledPredictions  # for the holdout
    megabytes: float  # size of the graph of its backbone
    seconds: float | None  # CPU time of the graph per image on one core; None if it was not measured
    train_count: int | None = None  # images that it was fitted on; None if it was not recorded


@dataclass(frozen=True)
class Verdict:
    """The result of one rule."""

    passed: bool
    message: str  # the reason, in one sentence with the numbers
    numbers: dict[str, float] = field(default_factory=dict)
    is_tolerated: bool = False  # broken, but no reason to refuse the candidate

    @property
    def refuses(self) -> bool:
        """Whether the candidate must not be promoted."""
        return not self.passed and not self.is_tolerated


def judge_accuracy(candidate: Candidate, floor: float) -> Verdict:
    """Requires a minimum accuracy; of sets, that of the answers about their labels."""
    accuracy = float(candidate.predictions.by_answer.is_right.mean())
    message = f"accuracy {accuracy:.3f}, minimum {floor:.3f}"
    passed = accuracy >= floor
    return Verdict(
        passed, message if passed else message + _explain_few(candidate), {"accuracy": accuracy, "floor": floor}
    )


def judge_improvement(candidate: Candidate, present: Candidate | None, accept_equal: bool = False) -> Verdict:
    """Requires significantly more correct predictions on the same images (McNemar's exact test, one-sided).

    With `accept_equal`, it is enough not to be significantly worse than the present classifier.
    """
    if present is None:
        return Verdict(True, NO_CLASSIFIER)
    if present.version == candidate.version:
        return Verdict(True, "the candidate is the classifier in use")
    _, ours, theirs = _pair(candidate.predictions, present.predictions)
    if len(ours) == 0:
        return Verdict(False, "no holdout image has predictions of both classifiers")
    fixed, broken = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    p_value = sign_test(broken, fixed) if accept_equal else sign_test(fixed, broken)
    numbers = {"candidate": float(ours.mean()), "present": float(theirs.mean()), "fixed": fixed, "broken": broken}
    found = (
        f"accuracy {ours.mean():.3f}, classifier in use {theirs.mean():.3f}, on the same {len(ours)} images:"
        f" {fixed} fixed, {broken} broken; McNemar p = {p_value:.3f}"
    )
    if accept_equal:
        passed, needed = p_value > SIGNIFICANCE, f"of being worse, needs p > {SIGNIFICANCE}"
    else:
        passed, needed = p_value <= SIGNIFICANCE, f"needs p <= {SIGNIFICANCE}"
    cure = "" if passed or accept_equal else ". To accept an equal model, set accept_equal"
    return Verdict(passed, f"{found}, {needed}{cure}", numbers | {"p_value": p_value})


def judge_holdout(candidate: Candidate, former: Mapping[str, str], accept_new: bool) -> Verdict:
    """Requires the holdout of the classifier in use: on a new holdout any model may look better.

    Args:
        candidate: with its predictions for the present holdout.
        former: label by digest, for a sample of the holdout of the classifier in use; empty without one.
        accept_new: whether the labelled images were replaced on purpose.
    """
    if not former:
        return Verdict(True, "no previous holdout")
    today = dict(zip(candidate.predictions.image_ids.tolist(), candidate.predictions.labels.tolist(), strict=True))
    kept = former.keys() & today.keys()
    relabelled = sum(former[image_id] != today[image_id] for image_id in kept)
    numbers = {"sampled": len(former), "kept": len(kept), "relabelled": relabelled}
    found = (
        f"{len(kept)} of {len(former)} sampled holdout images of the classifier in use are still in the holdout,"
        f" {relabelled} of them with another label"
    )
    if accept_new:
        return Verdict(True, f"{found}; the holdout was replaced on purpose", numbers)
    passed = len(kept) >= MIN_KEPT_SHARE * len(former) and relabelled <= MAX_RELABELLED_SHARE * len(kept)
    return Verdict(passed, found if passed else f"{found}. If you replaced them on purpose, set new_holdout", numbers)


def judge_classes(candidate: Candidate, present: Candidate | None, floor: float) -> Verdict:
    """Requires a minimum recall of every class, and no significant loss of recall."""
    predictions = candidate.predictions.by_label
    labels, members, counts = np.unique(predictions.labels, return_inverse=True, return_counts=True)
    recalls = dict(zip(labels, (np.bincount(members, predictions.is_right) / counts).tolist(), strict=True))
    faults = [
        f"recall of {label} {recalls[label]:.2f} on {count} images, minimum {floor:.2f}"
        for label, count in zip(labels, counts, strict=True)
        if count >= MIN_CLASS_IMAGES and recalls[label] < floor
    ]
    if present is not None and present.version != candidate.version:
        faults += _find_losses(predictions, present.predictions.by_label)
    worst = min(recalls, key=lambda label: recalls[label])
    message = _join(faults) if faults else f"lowest recall {recalls[worst]:.2f} ({worst})"
    small_count = sum(count < MIN_CLASS_IMAGES for count in counts)
    if small_count:
        message += f"; {small_count} classes have fewer than {MIN_CLASS_IMAGES} images"
    return Verdict(not faults, message, {"min_recall": recalls[worst], "floor": floor})


def judge_vanished(candidate: Candidate, present: Candidate | None, retired: Sequence[str]) -> Verdict:
    """Requires every label of the holdout and of the classifier in use, except retired ones."""
    known = set(candidate.predictions.classes) | set(retired)
    formerly = set(present.predictions.classes) if present else set()
    lost = sorted(formerly - known)
    unseen = sorted(set(candidate.predictions.by_label.labels.tolist()) - known - formerly)
    faults = []
    if lost:
        faults.append(f"the candidate cannot predict {_list(lost)}: add images of them, or list them in retired_labels")
    if unseen:
        faults.append(
            f"the candidate cannot predict {_list(unseen)}, since all usable images of them are in the holdout: add"
            " images of them, ten of each or more, or remove these labels"
        )
    message = "; ".join(faults) or f"{len(candidate.predictions.classes)} labels"
    return Verdict(not faults, message, {"missing": len(lost) + len(unseen)})


def judge_calibration(candidate: Candidate, present: Candidate | None, limit: float) -> Verdict:
    """Requires a calibration error within the limit, or within chance (consistency resampling).

    A larger error is tolerated where there is no better classifier: thresholds keep the target precision anyway.
    """
    predictions = candidate.predictions
    error, chance = _calibration_error(candidate), chance_error(predictions.by_answer.confidence)
    message = f"expected calibration error {error:.3f}, maximum {max(limit, chance):.3f}"
    passed = error <= max(limit, chance)
    if not passed and len(predictions) < MIN_HOLDOUT_IMAGES:
        message += f": a holdout of {len(predictions)} is too small to measure it, so add images"
    theirs = _calibration_error(present) if present else None
    is_tolerated = not passed and (theirs is None or theirs >= error)
    if is_tolerated:
        reason = NO_CLASSIFIER if theirs is None else f"the classifier in use has {theirs:.3f}"
        message += f". It is promoted all the same ({reason}); the holdout is harder than the train split, so fewer"
        message += " predictions are answered. Images like those of the holdout in the train split help"
    return Verdict(passed, message, {"calibration_error": error, "chance_error": chance}, is_tolerated)


def judge_costs(candidate: Candidate, present: Candidate | None, slowdown: float, growth: float) -> Verdict:
    """Limits the time per image and the size of the graph, as multiples of the classifier in use."""
    if present is None:
        return Verdict(True, NO_CLASSIFIER)
    size = candidate.megabytes / present.megabytes
    time = candidate.seconds / present.seconds if candidate.seconds and present.seconds else None
    duration = "time per image not measured" if time is None else f"{time:.2f} times the time (maximum {slowdown:g})"
    message = f"{size:.2f} times the size (maximum {growth:g}), {duration}"
    passed = size <= growth and (time or 1.0) <= slowdown
    return Verdict(passed, message, {"size_ratio": size, "time_ratio": time or 1.0})


def judge_withdrawal(candidate: Candidate, is_withdrawn: bool) -> Verdict:
    """Requires that nobody rolled back from this version: a retraining must not bring it back."""
    withdrawn = f"{candidate.version} was withdrawn. To promote it again, set it as the version of classifier"
    return Verdict(not is_withdrawn, withdrawn if is_withdrawn else "never withdrawn")


def _calibration_error(candidate: Candidate) -> float:
    predictions = candidate.predictions.by_answer
    return calibration_error(bin_predictions(predictions.confidence, predictions.is_right))


def _explain_few(candidate: Candidate) -> str:
    """Says that the training set is small, if it is, and what to add."""
    label_count, train_count = len(candidate.predictions.classes), candidate.train_count
    if train_count is None or train_count >= MIN_TRAIN_IMAGES * label_count:
        return ""
    return (
        f": it learned {label_count:,} labels from {train_count:,} images, {train_count / label_count:.1f} of each; add"
        f" images until there are {MIN_TRAIN_IMAGES} of each in the train split, or merge labels"
    )


def _list(labels: Sequence[str]) -> str:
    more = len(labels) - SHOWN_LABELS
    return ", ".join(labels[:SHOWN_LABELS]) + (f" and {more:,} more labels" if more > 0 else "")


def _pair(ours: LabelledPredictions, theirs: LabelledPredictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the labels of the common images, and for each classifier whether its predictions are correct."""
    _, left, right = np.intersect1d(ours.image_ids.astype(str), theirs.image_ids.astype(str), return_indices=True)
    return ours.labels[left], ours.is_right[left], theirs.is_right[right]


def _find_losses(ours: LabelledPredictions, theirs: LabelledPredictions) -> list[str]:
    """Describes the classes whose recall fell significantly, with a Bonferroni correction."""
    labels, is_right, was_right = _pair(ours, theirs)
    names, members = np.unique(labels, return_inverse=True)
    counts, fixed, broken, right, before = (
        np.bincount(members, each, len(names))
        for each in (np.ones(len(labels)), is_right & ~was_right, was_right & ~is_right, is_right, was_right)
    )
    return [
        f"recall of {names[n]} fell from {before[n] / counts[n]:.2f} to {right[n] / counts[n]:.2f}:"
        f" {fixed[n]:.0f} fixed, {broken[n]:.0f} broken"
        for n in np.flatnonzero(broken > fixed)
        if sign_test(int(broken[n]), int(fixed[n])) <= SIGNIFICANCE / len(names)
    ]


def _join(faults: Sequence[str]) -> str:
    more = len(faults) - SHOWN_FAULTS
    return "; ".join(faults[:SHOWN_FAULTS]) + (f"; and {more:,} more" if more > 0 else "")
