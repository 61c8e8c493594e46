"""Embedding space: coordinates that bring images of one kind together, also images of a kind never seen.

Principal axes, which use no labels, beside class scores by ridge regression, which suppress differences within a class.
Both are fitted to images that are not projected later, because fitted images lie elsewhere than new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.similarity.axes import find_widest_axes

AXIS_COUNT: Final = 64
RIDGE: Final = 1.0  # penalty of the regression, for vectors of length 1


@dataclass(frozen=True)
class EmbeddingSpace:
    """A linear projection of vectors."""

    axes: np.ndarray  # float32 `[dimension, axes]`
    class_scores: np.ndarray  # float32 `[dimension, classes]`

    @property
    def weights(self) -> np.ndarray:
        """The projection as one matrix, float32 `[dimension, axes + classes]`."""
        return np.hstack([self.axes, self.class_scores])

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Projects vectors, float32 `[n, dimension]` of length 1, to coordinates `[n, axes + classes]`."""
        return np.asarray(vectors @ self.weights)

    def select_axes(self, coordinates: np.ndarray) -> np.ndarray:
        """Selects the coordinates on the principal axes, which use no labels."""
        return coordinates[:, : self.axes.shape[1]]


def fit_embedding_space(vectors: np.ndarray, labels: Sequence[str], reference: np.ndarray) -> EmbeddingSpace:
    """Fits the projection.

    Args:
        vectors: float32 `[n, dimension]` of length 1, about a thousand; with fewer than two, nothing is projected.
        labels: one per vector.
        reference: float32 `[m, dimension]` of length 1; axes and class scores get the same total variance on it.
    """
    if min(len(vectors), len(reference)) < 2:
        dimension = reference.shape[1]
        return EmbeddingSpace(np.eye(dimension, dtype=np.float32), np.empty((dimension, 0), np.float32))
    parts = (find_widest_axes(vectors, AXIS_COUNT), fit_class_scores(vectors, np.asarray(labels)))
    widths = (float(np.sqrt((reference @ part).var(axis=0).sum())) or 1.0 for part in parts)
    return EmbeddingSpace(*(part / width for part, width in zip(parts, widths, strict=True)))


def fit_class_scores(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fits weights of each class in the order of names, float32 `[dimension, classes]`, by dual ridge regression.

    The vectors, float32 `[n, dimension]` of length 1, may be a few thousand, since a matrix `[n, n]` is solved.
    """
    is_class = (labels[:, None] == np.unique(labels)).astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    kernel = centred @ centred.T + RIDGE * np.eye(len(vectors), dtype=np.float32)
    return centred.T @ np.linalg.solve(kernel, is_class - is_class.mean(axis=0))
