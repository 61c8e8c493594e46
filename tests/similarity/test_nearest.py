"""Nearest neighbours: adding points gives the same result as comparing all of them."""

import numpy as np
import pytest

from pipeline.similarity.nearest import add_points, find_nearest


def draw(count: int, seed: int, dimension: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 20, 60])
def test_added_points_give_the_neighbours_of_all_points_together(count: int) -> None:
    points, more = draw(700, 1), draw(90, 2) / 2
    together = find_nearest(np.concatenate([points, more]), count).indices
    assert np.array_equal(add_points(points, find_nearest(points, count), more), together)


def test_nearest_neighbours_of_four_points() -> None:
    points = np.array([[0], [1], [3], [7]], np.float32)
    found = find_nearest(points, 2)
    assert found.indices.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert found.distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]


def test_few_points_have_all_others_as_neighbours_and_ties_count_once() -> None:
    points = np.ones((5, 3), np.float32)
    numbers = find_nearest(points, 60).indices
    assert [sorted([*row, place]) for place, row in enumerate(numbers.tolist())] == [[0, 1, 2, 3, 4]] * 5
    assert add_points(points, find_nearest(points, 2), points[:1]).shape == (6, 2)
