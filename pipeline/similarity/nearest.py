"""Nearest neighbours by brute force: the nearest points by distance, and the largest cosine similarity.

Executors import this module, so it uses numpy alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

BLOCK_ROWS: Final = 512  # points whose distances to all others are in memory at a time


@dataclass(frozen=True)
class Nearest:
    """The points nearest to each point of a set, the nearest first."""

    indices: np.ndarray  # int `[n, count]`, of the other points
    distances: np.ndarray  # float32 `[n, count]`


def find_nearest(points: np.ndarray, count: int) -> Nearest:
    """Finds the nearest other points of each point, float32 `[n, dimension]`; all others where there are fewer."""
    count = min(count, len(points) - 1)
    indices, distances = [], []
    for start in range(0, len(points), BLOCK_ROWS):
        squares = squared_distances(points[start : start + BLOCK_ROWS], points)
        rows = np.arange(len(squares))
        squares[rows, start + rows] = np.inf
        found = find_smallest(squares, count)
        indices.append(found)
        distances.append(np.sqrt(np.take_along_axis(squares, found, axis=1)))
    return Nearest(np.concatenate(indices), np.concatenate(distances))


def add_points(points: np.ndarray, nearest: Nearest, more: np.ndarray) -> np.ndarray:
    """Finds the nearest points among `points` and `more` together, int `[n + m, count]`, with the same count as before.

    Computes the distances between old and new points, and none between old ones.
    """
    count = nearest.indices.shape[1]
    squares = squared_distances(more, np.concatenate([points, more]))
    new = np.arange(len(more))
    squares[new, len(points) + new] = np.inf
    distances = np.hstack([nearest.distances, np.sqrt(squares[:, : len(points)].T)])
    indices = np.hstack([nearest.indices, np.broadcast_to(len(points) + new, (len(points), len(more)))])
    old = np.take_along_axis(indices, find_smallest(distances, count), axis=1)
    return np.concatenate([old, find_smallest(squares, count)])


def normalise(vectors: np.ndarray) -> np.ndarray:
    """Scales rows to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def squared_distances(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Computes the squared distances `[n, m]` between two sets of points."""
    lengths = (some**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)
    return np.maximum(lengths - 2 * some @ points.T, 0)


def find_most_similar(
    vectors: np.ndarray, reference: np.ndarray, first_index: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the vector of the reference with the largest cosine: its row `[n]` and the cosine `[n]`.

    Args:
        vectors: float32 `[n, dimension]`, rows of length 1 or 0.
        reference: float32 `[m, dimension]`, rows of length 1.
        first_index: row of the reference that is the first vector; None unless the vectors are a part of the reference.
            A vector is not compared with itself.
    """
    similarities = vectors @ reference.T
    if first_index is not None:
        rows = np.arange(len(vectors))
        similarities[rows, first_index + rows] = -np.inf
    nearest = similarities.argmax(axis=1)
    return nearest, np.take_along_axis(similarities, nearest[:, None], axis=1)[:, 0]


def find_smallest(rows: np.ndarray, count: int) -> np.ndarray:
    """Finds the columns `[n, count]` of the smallest values of each row, the smallest first."""
    # `partition` is several times as fast as `argpartition`, which is left for rows with ties.
    is_small = rows <= np.partition(rows, count - 1, axis=1)[:, count - 1 : count]
    tied = np.flatnonzero(np.count_nonzero(is_small, axis=1) > count)
    is_small[tied] = False
    is_small[tied[:, None], np.argpartition(rows[tied], count - 1, axis=1)[:, :count]] = True
    columns = np.nonzero(is_small)[1].reshape(len(rows), count)
    order = np.argsort(np.take_along_axis(rows, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
