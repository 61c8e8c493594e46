"""Proofs hold in at least 95 of 100 streams of labels, and are reached where answers are good."""

import numpy as np
import pytest

from pipeline.evaluation.proof import is_refuted, prove_threshold

TARGET, STREAMS = 0.95, 1_000


def draw(count: int, precision: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample whose predictions are right as often at each confidence as one at the middle, give or take a little."""
    chance = np.random.default_rng(seed)
    confidence = chance.uniform(0.7, 1, count)
    return confidence, chance.random(count) < np.clip(precision + (confidence - 0.85) * 0.1, 0, 1)


@pytest.mark.parametrize("precision", [0.90, 0.93, 0.945, 0.949])
def test_a_false_proof_is_rarer_than_one_in_twenty(precision: float) -> None:
    """The true precision above a threshold t is precision + (t + 1) / 2 * 0.1 - 0.085."""
    false_proofs = 0
    for seed in range(STREAMS):
        threshold = prove_threshold(*draw(200, precision, seed), TARGET)
        if threshold is not None:
            false_proofs += precision + ((threshold + 1) / 2 - 0.85) * 0.1 < TARGET
    assert false_proofs <= 0.05 * STREAMS


def test_200_labels_prove_good_answers() -> None:
    proven = [prove_threshold(*draw(200, 0.985, seed), TARGET) for seed in range(200)]
    assert sum(threshold is not None for threshold in proven) > 150


def test_without_errors_59_labels_prove_nothing_and_80_do() -> None:
    confidence = np.linspace(0.7, 1, 80)
    assert prove_threshold(confidence[:59], np.ones(59, bool), TARGET) is None
    assert prove_threshold(confidence, np.ones(80, bool), TARGET) == 0.7
    assert prove_threshold(confidence[:0], np.ones(0, bool), TARGET) is None


def test_errors_at_low_confidence_raise_the_threshold() -> None:
    confidence = np.linspace(0.5, 1, 400)
    threshold = prove_threshold(confidence, confidence > 0.58, TARGET)
    assert threshold is not None
    assert threshold > 0.58


def test_many_errors_refute_the_promise_and_few_do_not() -> None:
    assert is_refuted(np.arange(100) >= 15, TARGET)
    assert not is_refuted(np.arange(100) >= 7, TARGET)
    assert not is_refuted(np.ones(0, bool), TARGET)
