"""Outlier score: unseen kinds score higher than known ones, and training images like new images."""

import numpy as np
import pytest

from pipeline.drift.outlier_score import OutlierScorer, assign_folds, fit_outlier_scorer

DIMENSION, KINDS = 40, 6
CENTRES = np.random.default_rng(0).normal(0, 1.5, (KINDS + 1, DIMENSION))


def draw(kinds: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, np.linspace(2, 0.5, DIMENSION), (len(kinds), DIMENSION))
    return (CENTRES[kinds] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def kinds() -> np.ndarray:
    return np.arange(150) % KINDS


@pytest.fixture(scope="module")
def scorer(kinds: np.ndarray) -> OutlierScorer:
    return fit_outlier_scorer(draw(kinds, 1), kinds.astype(str), assign_folds(len(kinds), 0))


def test_an_unseen_kind_scores_higher_than_known_ones(kinds: np.ndarray, scorer: OutlierScorer) -> None:
    known = scorer.score(draw(kinds, 2), assign_folds(len(kinds), 1))
    novel = scorer.score(draw(np.full(30, KINDS), 3), assign_folds(30, 1))
    assert np.mean(novel > np.median(known)) > 0.9


def test_fitted_images_score_like_new_ones(kinds: np.ndarray, scorer: OutlierScorer) -> None:
    seen, new = (scorer.score(draw(kinds, seed), assign_folds(len(kinds), 0)) for seed in (1, 2))
    naive = scorer.score(draw(kinds, 1), (assign_folds(len(kinds), 0) + 1) % 5)
    assert np.mean(seen[:, None] < new) == pytest.approx(0.5, abs=0.1)
    assert np.mean(naive[:, None] < new) > 0.6, "without folds, fitted images score lower"


def test_a_class_of_one_image_and_equal_points_have_finite_scores() -> None:
    equal = np.ones((10, 4), np.float32)
    scorer = fit_outlier_scorer(equal, np.array(["hat"] * 9 + ["cap"]), assign_folds(10, 0))
    assert np.isfinite(scorer.score(equal, assign_folds(10, 0))).all()


def test_folds_are_of_equal_size_and_deterministic() -> None:
    assert np.bincount(assign_folds(52, 1)).tolist() == [11, 11, 10, 10, 10]
    assert np.array_equal(assign_folds(52, 1), assign_folds(52, 1))
