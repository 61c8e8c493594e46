"""Cells: regions of the space of embeddings, so that an embedding meets those of few cells instead of all.

Each embedding lives in the cell whose centre is the nearest, and visits the cells of the next centres too (an inverted
file with several probes; Jégou, Douze and Schmid 2011). Executors import this module, so it uses numpy alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

ROUNDS: Final = 8  # of k-means; more change few homes


@dataclass(frozen=True)
class Cells:
    """The centres of cells, and how many embeddings of the sample live in each."""

    centres: np.ndarray  # float32 `[count, dimension]`, rows of length 1 or 0
    shares: np.ndarray  # float64 `[count]`; their sum is 1

    def rank(self, vectors: np.ndarray, count: int) -> np.ndarray:
        """Finds the nearest cells of vectors `[n, dimension]`, int32 `[n, count]`; the first is the home."""
        similarities = vectors @ self.centres.T
        count = min(count, len(self.centres))
        nearest = np.argpartition(similarities, -count, axis=1)[:, -count:]
        order = np.argsort(-np.take_along_axis(similarities, nearest, axis=1), axis=1, kind="stable")
        return np.take_along_axis(nearest, order, axis=1).astype(np.int32)


def fit_cells(vectors: np.ndarray, count: int) -> Cells:
    """Finds centres by k-means on the sphere; the first vectors are the first centres.

    Args:
        vectors: float32 `[n, dimension]`, rows of length 1, in random order.
        count: number of cells, at most n.
    """
    centres = vectors[:count]
    for _ in range(ROUNDS):
        homes = np.argmax(vectors @ centres.T, axis=1)
        order = np.argsort(homes, kind="stable")
        found, starts = np.unique(homes[order], return_index=True)
        sums = np.add.reduceat(vectors[order], starts, axis=0)
        centres = centres.copy()  # a cell without vectors keeps its centre
        centres[found] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    homes = np.argmax(vectors @ centres.T, axis=1)
    return Cells(centres, np.bincount(homes, minlength=count) / len(vectors))
