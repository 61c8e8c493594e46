"""Mixtures: the confidence of images without labels says how hard they are, and which threshold keeps the promise."""

import numpy as np
import pytest

from pipeline.evaluation.calibration import Calibration, soften_predictions
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import (
    MAX_RESERVE,
    Mixture,
    Thresholds,
    calibrate_mixture,
    calibrate_on,
    choose_thresholds,
    mix,
)

CLASSES = ("a", "b", "c")
COUNT = 4_000
HARDNESS = (0.6, 1.0, 1.6, 2.2)


def predict(hardness: float, seed: int, count: int = COUNT) -> LabelledPredictions:
    """Predictions by an ideal classifier of three Gaussians; the larger the hardness, the closer these lie."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 3, count)
    points = np.eye(3)[labels] * 2 + chance.normal(size=(count, 3)) * hardness
    powers = np.exp(points * 2 / hardness**2)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    names = np.array(CLASSES, object)
    ids = np.array([f"{seed}-{number}" for number in range(count)], object)
    return LabelledPredictions(ids, names[labels], names[probabilities.argmax(axis=1)], CLASSES, probabilities)


LEVELS = tuple(predict(hardness, seed) for seed, hardness in enumerate(HARDNESS))


@pytest.mark.parametrize("hardness", [0.5, 0.7, 0.8, 1.0, 1.3])
def test_accuracy_is_estimated_and_the_promise_kept_at_every_hardness(hardness: float) -> None:
    day = predict(hardness, 99)
    mixture = mix(LEVELS, float(day.confidence.mean()))
    calibration, accuracy = calibrate_mixture(LEVELS, mixture, 0.95)
    assert accuracy == pytest.approx(day.is_right.mean(), abs=0.03 if hardness > 0.5 else 0.05)
    answered = soften_predictions(day, calibration.temperature).confidence >= calibration.threshold
    assert day.is_right[answered].mean() > 0.94
    assert answered.any()


def test_images_as_easy_as_random_folds_are_that_level_alone() -> None:
    assert mix(LEVELS, 1.0) == Mixture(0, 0.0)
    assert mix(LEVELS, float(LEVELS[1].confidence.mean())).share == pytest.approx(1.0)


def test_images_harder_than_all_levels_are_not_answered() -> None:
    mixture = mix(LEVELS, 0.34)
    assert mixture.is_beyond
    assert calibrate_mixture(LEVELS, mixture, 0.95)[0].threshold is None


def test_a_single_level_and_one_without_predictions_are_used_as_they_are() -> None:
    assert mix(LEVELS[:1], 0.9) == Mixture(0, 0.0)
    empty = LabelledPredictions(*[np.empty(0, object)] * 3, CLASSES, np.empty((0, 3)))
    assert mix((empty,), 0.9) == Mixture(0, 0.0)
    assert calibrate_mixture((empty,), Mixture(0, 0.0), 0.95)[0].threshold is None


def test_a_harder_level_never_counts_as_easier_because_of_chance() -> None:
    swapped = (LEVELS[0], LEVELS[2], LEVELS[1])
    confidence = float(LEVELS[1].confidence.mean())
    assert mix(swapped, confidence).easier == 0


def test_a_holdout_from_elsewhere_raises_the_threshold() -> None:
    easy, hard = (calibrate_on(LEVELS, predict(hardness, 7, 600), 0.95) for hardness in (0.5, 1.6))
    assert isinstance(easy, Calibration)
    assert hard.coverage < easy.coverage


def test_labels_of_the_holdout_that_break_the_promise_raise_the_threshold_or_stop_all_answers() -> None:
    holdout = predict(0.6, 8, 600)
    wrong = LabelledPredictions(
        holdout.image_ids, np.roll(holdout.labels, 1), holdout.predicted, CLASSES, holdout.probabilities
    )
    assert calibrate_on(LEVELS, wrong, 0.95).threshold is None


def make_kinds(error_shares: dict[str, float], count: int = 1_000) -> LabelledPredictions:
    """Predictions of a few labels, each with its own share of errors, most of them at low confidence."""
    chance, parts = np.random.default_rng(5), []
    for label, share in error_shares.items():
        confidence = np.sort(chance.random(count)) / 2 + 0.5
        is_right = chance.random(count) >= 2 * share * np.linspace(1, 0, count)
        parts.append((np.full(count, label, object), confidence, is_right))
    predicted, confidence, is_right = map(np.concatenate, zip(*parts, strict=True))
    classes = tuple(error_shares)
    truth = np.where(is_right, predicted, "another").astype(object)
    shares = np.full((len(predicted), len(classes)), 0.0)
    places = np.array([classes.index(label) for label in predicted])
    shares[:] = ((1 - confidence) / (len(classes) - 1))[:, None]
    shares[np.arange(len(places)), places] = confidence
    ids = np.arange(len(predicted)).astype(str).astype(object)
    return LabelledPredictions(ids, truth, predicted, classes, shares)


NEUTRAL = Calibration(1.0, 0.6, 0.95, None, 0.0, 0)


def test_a_label_with_more_errors_needs_more_confidence_and_the_others_less() -> None:
    level = make_kinds({"cat": 0.01, "dog": 0.01, "fox": 0.2})
    found = choose_thresholds([level], Mixture(0, 0.0), NEUTRAL)
    assert list(found.labels) == ["fox"]
    together = calibrate_mixture([level], Mixture(0, 0.0), 0.95)[0].threshold
    assert found.threshold is not None
    assert found.threshold < min(together, found.labels["fox"])
    for label in ("cat", "dog", "fox"):
        is_own = level.predicted == label
        is_answered = level.confidence[is_own] >= max(found.threshold, found.labels.get(label, 0.0))
        assert level.is_right[is_own][is_answered].mean() >= 0.95


def test_a_label_that_is_always_wrong_is_never_answered() -> None:
    level = make_kinds({"cat": 0.01, "dog": 0.0})
    labels = np.where(level.predicted == "dog", "another", level.labels).astype(object)
    wrong = LabelledPredictions(level.image_ids, labels, level.predicted, level.classes, level.probabilities)
    assert choose_thresholds([wrong], Mixture(0, 0.0), NEUTRAL).labels == {"dog": np.inf}


def test_beyond_the_hardest_level_there_are_no_thresholds() -> None:
    assert choose_thresholds([make_kinds({"cat": 0.01, "dog": 0.01})], Mixture(0, 1.0, True), NEUTRAL) == Thresholds(
        None
    )


def test_with_images_of_a_class_never_seen_fewer_of_the_allowed_errors_may_be_observed() -> None:
    level = make_kinds({"cat": 0.03, "dog": 0.03, "fox": 0.03})
    calm, few, new = (choose_thresholds([level], Mixture(0, 0.0), NEUTRAL, share) for share in (0, 0.28, 0.5))
    assert calm.threshold < few.threshold < new.threshold
    wrong = ~level.is_right[level.confidence >= new.threshold]
    assert wrong.mean() <= (1 - MAX_RESERVE) * 0.05
