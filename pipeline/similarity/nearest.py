"""Nearest: which points of a set, some thousand, are nearest to each, and what new points change of that."""

from dataclasses import dataclass
from typing import Final

import numpy as np

BLOCK_ROWS: Final = 512
"""Distances from so many points to all others are held at a time."""


@dataclass(frozen=True)
class Nearest:
    """The points nearest to each point of a set, the nearest first.

    Attributes:
        numbers: int `[n, count]`, of the other points.
        distances: float32 `[n, count]`.
    """

    numbers: np.ndarray
    distances: np.ndarray


def find_nearest(points: np.ndarray, count: int) -> Nearest:
    """Compares all points with all, float32 `[n, dimension]`; with fewer than `count` others, all of them are found."""
    count = min(count, len(points) - 1)
    numbers, distances = [], []
    for start in range(0, len(points), BLOCK_ROWS):
        squares = squared_distances(points[start : start + BLOCK_ROWS], points)
        rows = np.arange(len(squares))
        squares[rows, start + rows] = np.inf
        found = _find_least(squares, count)
        numbers.append(found)
        distances.append(np.sqrt(np.take_along_axis(squares, found, axis=1)))
    return Nearest(np.concatenate(numbers), np.concatenate(distances))


def add_points(points: np.ndarray, nearest: Nearest, more: np.ndarray) -> np.ndarray:
    """The points nearest to each of `points` and `more` together, as int `[n + m, count]`, with as many as before.

    Takes a distance for each pair of an old and a new point, and none for pairs of old ones.
    """
    count = nearest.numbers.shape[1]
    squares = squared_distances(more, np.concatenate([points, more]))
    new = np.arange(len(more))
    squares[new, len(points) + new] = np.inf
    theirs = np.hstack([nearest.distances, np.sqrt(squares[:, : len(points)].T)])
    names = np.hstack([nearest.numbers, np.broadcast_to(len(points) + new, (len(points), len(more)))])
    return np.concatenate([np.take_along_axis(names, _find_least(theirs, count), axis=1), _find_least(squares, count)])


def squared_distances(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Of each of some points to each point, `[n, m]`."""
    lengths = (some**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)
    return np.maximum(lengths - 2 * some @ points.T, 0)


def _find_least(rows: np.ndarray, count: int) -> np.ndarray:
    """Columns `[n, count]` of the least in every row, the least first.

    `partition` is several times as quick as `argpartition`.
    """
    is_least = rows <= np.partition(rows, count - 1, axis=1)[:, count - 1 : count]
    tied = np.flatnonzero(np.count_nonzero(is_least, axis=1) > count)
    is_least[tied] = False
    is_least[tied[:, None], np.argpartition(rows[tied], count - 1, axis=1)[:, :count]] = True
    columns = np.nonzero(is_least)[1].reshape(len(rows), count)
    order = np.argsort(np.take_along_axis(rows, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
