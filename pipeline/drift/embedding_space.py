"""Likeness: coordinates in which pictures of one kind lie near each other, of a kind never seen too.

The widest principal axes, which know no labels, beside scores of classes by ridge regression, which fade out what tells
pictures of one class from each other. Both are learned from pictures that are not placed, since a picture that was
learned from lies otherwise than a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

AXIS_COUNT: Final = 64
RIDGE: Final = 1.0
"""On vectors of length 1."""


@dataclass(frozen=True)
class Likeness:
    """How vectors are placed.

    Attributes:
        axes: float32 `[dimension, axes]`.
        scores: float32 `[dimension, classes]`.
    """

    axes: np.ndarray
    scores: np.ndarray

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates, float32 `[n, axes + classes]`, of vectors, float32 `[n, dimension]` of length 1."""
        return vectors @ np.hstack([self.axes, self.scores])

    def axes_of(self, places: np.ndarray) -> np.ndarray:
        """Those coordinates that know no labels."""
        return places[:, : self.axes.shape[1]]


def learn_likeness(vectors: np.ndarray, labels: Sequence[str], usual: np.ndarray) -> Likeness:
    """Learns coordinates.

    Args:
        vectors: float32 `[n, dimension]` of length 1, a thousand or so; of fewer than two, there are all axes alone.
        labels: of these.
        usual: float32 `[m, dimension]` of length 1, among which axes and scores are made to weigh the same.
    """
    if min(len(vectors), len(usual)) < 2:
        dimension = usual.shape[1]
        return Likeness(np.eye(dimension, dtype=np.float32), np.empty((dimension, 0), np.float32))
    parts = (_find_axes(vectors), fit_scores(vectors, np.asarray(labels)))
    return Likeness(*(part / _width(usual @ part) for part in parts))


def _find_axes(vectors: np.ndarray) -> np.ndarray:
    """The widest principal axes, float32 `[dimension, AXIS_COUNT]`, in columns; fewer, of few vectors."""
    _, lengths, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return axes[:AXIS_COUNT][lengths[:AXIS_COUNT] >= 1e-3 * lengths[0]].T


def fit_scores(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of every class in the order of its name, float32 `[dimension, classes]`, by ridge regression's dual form.

    Args:
        vectors: float32 `[n, dimension]` of length 1; some thousand, since a matrix `[n, n]` is solved.
        labels: of these.
    """
    is_class = (labels[:, None] == np.unique(labels)).astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    alike = centred @ centred.T + RIDGE * np.eye(len(vectors), dtype=np.float32)
    return centred.T @ np.linalg.solve(alike, is_class - is_class.mean(axis=0))


def _width(coordinates: np.ndarray) -> float:
    """The root of the variance in all directions; of what does not vary 1."""
    return float(np.sqrt(coordinates.var(axis=0).sum())) or 1.0
