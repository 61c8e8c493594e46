"""OutlierScorer: kinds never seen are stranger than known ones; what was scorer from is as strange as what is new."""

import numpy as np
import pytest

from pipeline.drift.outlier_score import OutlierScorer, assign_folds, fit_outlier_scorer

DIMENSION, KINDS = 40, 6
CENTRES = np.random.default_rng(0).normal(0, 1.5, (KINDS + 1, DIMENSION))


def deal(kinds: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, np.linspace(2, 0.5, DIMENSION), (len(kinds), DIMENSION))
    return (CENTRES[kinds] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def kinds() -> np.ndarray:
    return np.arange(150) % KINDS


@pytest.fixture(scope="module")
def scorer(kinds: np.ndarray) -> OutlierScorer:
    return fit_outlier_scorer(deal(kinds, 1), kinds.astype(str).tolist(), assign_folds(len(kinds), 0))


def test_a_kind_never_seen_is_stranger_than_known_ones(kinds: np.ndarray, scorer: OutlierScorer) -> None:
    known = scorer.score(deal(kinds, 2), assign_folds(len(kinds), 1))
    novel = scorer.score(deal(np.full(30, KINDS), 3), assign_folds(30, 1))
    assert np.mean(novel > np.median(known)) > 0.9


def test_what_was_learned_from_is_as_strange_as_what_is_new(kinds: np.ndarray, scorer: OutlierScorer) -> None:
    seen, new = (scorer.score(deal(kinds, seed), assign_folds(len(kinds), 0)) for seed in (1, 2))
    careless = scorer.score(deal(kinds, 1), (assign_folds(len(kinds), 0) + 1) % 5)
    assert np.mean(seen[:, None] < new) == pytest.approx(0.5, abs=0.1)
    assert np.mean(careless[:, None] < new) > 0.6, "the folds do something"


def test_a_class_of_one_picture_and_points_that_do_not_vary_are_no_fault() -> None:
    equal = np.ones((10, 4), np.float32)
    scorer = fit_outlier_scorer(equal, ["hat"] * 9 + ["cap"], assign_folds(10, 0))
    assert np.isfinite(scorer.score(equal, assign_folds(10, 0))).all()


def test_folds_are_about_as_large_and_the_same_again() -> None:
    assert np.bincount(assign_folds(52, 1)).tolist() == [11, 11, 10, 10, 10]
    assert np.array_equal(assign_folds(52, 1), assign_folds(52, 1))
