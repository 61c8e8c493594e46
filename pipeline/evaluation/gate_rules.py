"""Promotion: the rules that a candidate has to keep before it answers, each with what it says of this one.

A candidate is held against the classifier in use on the same pictures, which neither was fitted on. Nothing here
decides what follows: that is the checks' to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.evaluation.intervals import sign_test
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.reliability import bin_predictions, calibration_error, chance_error

RISK: Final = 0.05
"""That a candidate which is no better passes for one."""

FEW: Final = 10
"""Pictures of a class below which its recall is not judged."""

LEFT: Final = 0.5
"""Least share of the former holdout that must still be there."""

RELABELLED: Final = 0.1
"""Most of it that may have another label than then."""


class PromotionError(RuntimeError):
    """A classifier that may not answer; the text says why, and what can be done."""


@dataclass(frozen=True)
class Thresholds:
    """What a candidate must reach.

    Attributes:
        accuracy: least share of right answers on the holdout, 0 to 1.
        class_recall: least share of every class that is found, 0 to 1.
        calibration_error: largest expected calibration error, beyond what chance gives, 0 to 1.
        slowdown: most times that a picture may take of what it takes with the classifier in use.
        growth: most times that the graph may be as large as that of the classifier in use.
    """

    accuracy: float = 0.8
    class_recall: float = 0.5
    calibration_error: float = 0.05
    slowdown: float = 1.5
    growth: float = 2.0


@dataclass(frozen=True)
class Candidate:
    """A classifier in the comparison.

    Attributes:
        version: of the classifier.
        answers: to the holdout.
        megabytes: of the graph of its backbone.
        seconds: that the graph takes for a picture on one core; None where it was not measured.
    """

    version: str
    answers: LabelledPredictions
    megabytes: float
    seconds: float | None


@dataclass(frozen=True)
class Verdict:
    """What one rule says of a candidate.

    Attributes:
        passed: whether the rule is kept.
        told: by how much, or why not, in a sentence.
        numbers: that it was told from.
    """

    passed: bool
    told: str
    numbers: dict[str, float] = field(default_factory=dict)


def judge_accuracy(candidate: Candidate, floor: float) -> Verdict:
    """Whether enough answers are right."""
    accuracy = float(candidate.answers.is_right.mean())
    return Verdict(
        accuracy >= floor, f"accuracy {accuracy:.3f}, floor {floor:.3f}", {"accuracy": accuracy, "floor": floor}
    )


def judge_improvement(candidate: Candidate, present: Candidate | None, is_equal_enough: bool = False) -> Verdict:
    """Whether the candidate is better on the same pictures by more than luck (McNemar's exact test, one-sided).

    Args:
        candidate: with its answers to the holdout.
        present: the classifier in use, with its own; None where there is none.
        is_equal_enough: whether not being worse by more than luck will do.
    """
    if present is None:
        return Verdict(True, "there is no classifier yet")
    if present.version == candidate.version:
        return Verdict(True, "the candidate is the classifier in use")
    _, ours, theirs = _pair(candidate.answers, present.answers)
    if len(ours) == 0:
        return Verdict(False, "no holdout picture was answered by both")
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    chance = sign_test(lost, gained) if is_equal_enough else sign_test(gained, lost)
    numbers = {"candidate": float(ours.mean()), "present": float(theirs.mean()), "gained": gained, "lost": lost}
    told = (
        f"accuracy {ours.mean():.3f}, and {theirs.mean():.3f} of the classifier in use, on the same {len(ours)}"
        f" pictures: {gained} gained, {lost} lost, which luck does in {chance:.1%}"
    )
    if is_equal_enough:
        told += f"; equal is enough, and it counts as worse at {RISK:.0%}"
        return Verdict(chance > RISK, told, numbers | {"chance": chance})
    passed = chance <= RISK
    told += f" (at most {RISK:.0%} is asked)" if passed else f" (at most {RISK:.0%} is asked; or set accept_equal)"
    return Verdict(passed, told, numbers | {"chance": chance})


def judge_holdout(candidate: Candidate, former: Mapping[str, str], is_new_on_purpose: bool) -> Verdict:
    """Whether the measure is the old one: who changes the holdout with the model makes any model look better.

    Args:
        candidate: with its answers to the holdout of today.
        former: labels by digest of a sample of the holdout of the classifier in use; empty where there is none.
        is_new_on_purpose: whether somebody said that the labelled pictures were replaced.
    """
    if not former:
        return Verdict(True, "there is no former holdout")
    today = dict(zip(candidate.answers.image_ids.tolist(), candidate.answers.labels.tolist(), strict=True))
    kept = former.keys() & today.keys()
    relabelled = sum(former[image_id] != today[image_id] for image_id in kept)
    numbers = {"sampled": len(former), "still_there": len(kept), "relabelled": relabelled}
    told = (
        f"of {len(former)} holdout pictures of the classifier in use {len(kept)} are still in the holdout,"
        f" {relabelled} of them with another label"
    )
    if is_new_on_purpose:
        return Verdict(True, f"{told}; it was replaced on purpose", numbers)
    passed = len(kept) >= LEFT * len(former) and relabelled <= RELABELLED * len(kept)
    return Verdict(passed, told if passed else f"{told}: set new_holdout, if they were replaced on purpose", numbers)


def judge_classes(candidate: Candidate, present: Candidate | None, floor: float) -> Verdict:
    """Whether every class is found often enough, and none less often than before by more than luck."""
    answers = candidate.answers
    labels, counts = np.unique(answers.labels, return_counts=True)
    recalls = {label: float(answers.is_right[answers.labels == label].mean()) for label in labels}
    faults = [
        f"{label} {recalls[label]:.2f} of {count} pictures, floor {floor:.2f}"
        for label, count in zip(labels, counts, strict=True)
        if count >= FEW and recalls[label] < floor
    ]
    if present is not None and present.version != candidate.version:
        faults += _lost_classes(answers, present.answers)
    worst = min(recalls, key=lambda label: recalls[label])
    told = "; ".join(faults) if faults else f"recall at least {recalls[worst]:.2f} ({worst})"
    few = sum(count < FEW for count in counts)
    note = f"; {few} classes have fewer than {FEW} pictures" if few else ""
    return Verdict(not faults, told + note, {"least_recall": recalls[worst], "floor": floor})


def judge_vanished(candidate: Candidate, present: Candidate | None, retired: Sequence[str]) -> Verdict:
    """Whether every label of the holdout, and of the classifier in use, can still be answered, or was retired."""
    wanted = set(candidate.answers.labels.tolist()) | (set(present.answers.classes) if present else set())
    missing = sorted(wanted - set(candidate.answers.classes) - set(retired))
    told = f"it cannot answer {', '.join(missing)}: give it pictures, or name it in retired_labels" if missing else ""
    return Verdict(not missing, told or f"{len(candidate.answers.classes)} labels", {"missing": len(missing)})


def judge_calibration(candidate: Candidate, limit: float) -> Verdict:
    """Whether confidences are off by more than allowed, and by more than chance (consistency resampling)."""
    confidence = candidate.answers.confidence
    error, chance = calibration_error(bin_predictions(confidence, candidate.answers.is_right)), chance_error(confidence)
    told = f"expected calibration error {error:.3f}, limit {max(limit, chance):.3f}"
    return Verdict(error <= max(limit, chance), told, {"calibration_error": error, "by_chance": chance})


def judge_costs(candidate: Candidate, present: Candidate | None, slowdown: float, growth: float) -> Verdict:
    """Whether a picture takes much longer, or the graph is much larger, than with the classifier in use."""
    if present is None:
        return Verdict(True, "there is no classifier yet")
    times_size = candidate.megabytes / present.megabytes
    timed = candidate.seconds is not None and present.seconds is not None
    times_seconds = candidate.seconds / present.seconds if candidate.seconds and present.seconds else 1.0
    told = f"{times_size:.2f} times as large (at most {growth:g})"
    told += f", {times_seconds:.2f} times as slow (at most {slowdown:g})" if timed else ", its speed was never measured"
    passed = times_size <= growth and times_seconds <= slowdown
    return Verdict(passed, told, {"times_as_large": times_size, "times_as_slow": times_seconds})


def judge_withdrawal(candidate: Candidate, is_withdrawn: bool) -> Verdict:
    """Whether nobody went back from it: what was withdrawn for a reason does not return by a retraining."""
    told = f"{candidate.version} was withdrawn: name it as the version of classifier, if it is to answer again"
    return Verdict(not is_withdrawn, told if is_withdrawn else "never withdrawn")


def _pair(ours: LabelledPredictions, theirs: LabelledPredictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of the pictures that both answered, and whether each was right."""
    ids = ours.image_ids.astype(str), theirs.image_ids.astype(str)
    _, left, right = np.intersect1d(*ids, return_indices=True)
    return ours.labels[left], ours.is_right[left], theirs.is_right[right]


def _lost_classes(ours: LabelledPredictions, theirs: LabelledPredictions) -> list[str]:
    """The classes that are found less often than before; the risk is shared out between all."""
    labels, is_right, was_right = _pair(ours, theirs)
    found = []
    for label in np.unique(labels):
        own = labels == label
        gained, lost = int((is_right & ~was_right & own).sum()), int((was_right & ~is_right & own).sum())
        if lost > gained and sign_test(lost, gained) <= RISK / len(np.unique(labels)):
            now, before = is_right[own].mean(), was_right[own].mean()
            found.append(f"{label} {now:.2f} after {before:.2f}: {gained} gained, {lost} lost")
    return found
