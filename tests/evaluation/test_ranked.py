"""Ranked probabilities: the largest of many classes, and groups of the others, stand for all of them."""

import numpy as np
import pytest

from pipeline.evaluation.calibration import fit_temperature, soften
from pipeline.evaluation.ranked import TOP, group_sizes, rank, top_places

CLASSES = 1_000


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    scores = np.random.default_rng(0).normal(0, 3, (300, CLASSES))
    return soften(np.exp(scores - scores.max(axis=1, keepdims=True)), 1.0)


def test_ranked_probabilities_keep_the_largest_ones_and_the_sum_of_all(shares: np.ndarray) -> None:
    columns, places, _ = rank(shares, np.zeros(len(shares), int))
    np.testing.assert_array_equal(places, np.argsort(-shares, axis=1, kind="stable")[:, :TOP])
    np.testing.assert_array_equal(columns[:, :TOP], np.take_along_axis(shares, places.astype(int), axis=1))
    np.testing.assert_allclose(columns @ group_sizes(CLASSES), 1)
    assert columns.shape[1] < 25
    assert (np.diff(columns, axis=1) <= 0).all()


def test_the_column_of_a_label_is_its_rank_or_its_group(shares: np.ndarray) -> None:
    falling = np.argsort(-shares, axis=1, kind="stable")
    for position, column in ((0, 0), (TOP - 1, TOP - 1), (TOP, TOP), (2 * TOP - 1, TOP), (2 * TOP, TOP + 1)):
        assert (rank(shares, falling[:, position])[2] == column).all()
    assert (rank(shares, np.full(len(shares), -1))[2] == -1).all()


def test_equal_probabilities_rank_by_the_order_of_the_classes() -> None:
    assert top_places(np.full((2, 50), 0.02), 3)[:, 0].tolist() == [0, 0]
    columns, places, column = rank(np.full((1, 500), 1 / 500), np.array([499]))
    assert places[0, 0] == 0
    np.testing.assert_allclose(columns, 1 / 500)
    assert column[0] >= 0


@pytest.mark.parametrize("temperature", [0.5, 0.8, 1.25, 2.0])
def test_a_temperature_softens_ranked_probabilities_nearly_like_all(shares: np.ndarray, temperature: float) -> None:
    columns, _, _ = rank(shares, np.zeros(len(shares), int))
    softened = soften(columns, temperature, group_sizes(CLASSES))
    np.testing.assert_allclose(softened[:, 0], soften(shares, temperature).max(axis=1), rtol=0.03)


def test_the_fitted_temperature_is_nearly_that_of_all_probabilities(shares: np.ndarray) -> None:
    random = np.random.default_rng(1)
    labels = np.array([random.choice(CLASSES, p=row) for row in soften(shares, 1.3)])
    columns, _, column = rank(shares, labels)
    ranked = fit_temperature(columns, column, sizes=group_sizes(CLASSES))
    assert ranked == pytest.approx(fit_temperature(shares, labels), rel=0.05)


def test_no_images_are_ranked_too() -> None:
    columns, places, column = rank(np.empty((0, 300)), np.empty(0, int))
    assert (columns.shape, places.shape, column.shape) == ((0, len(group_sizes(300))), (0, TOP), (0,))
