"""Exact search: the vectors nearest to one by cosine, of any number that is read in blocks.

Every vector is compared in float32, so nothing is missed; only the best are kept.
"""

import heapq
from collections.abc import Hashable, Sequence

import numpy as np


class BestMatches:
    """The ids most similar to a query; an id that comes again counts once, with its largest similarity."""

    def __init__(self, query: np.ndarray, count: int) -> None:
        """Starts without matches.

        Args:
            query: float32 `[dimension]`.
            count: ids to keep.
        """
        length = float(np.linalg.norm(query))
        self._query = query / length if length else query
        self._count = count
        self._best: dict[Hashable, float] = {}
        self._worst = -np.inf

    def add(self, vectors: np.ndarray, ids: Sequence[Hashable]) -> None:
        """Compares a block, float32 `[n, dimension]`, whose rows have these ids."""
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        cosines = (vectors @ self._query) / np.where(lengths > 0, lengths, 1)
        for place in np.flatnonzero(cosines >= self._worst).tolist():
            name, cosine = ids[place], float(cosines[place])
            self._best[name] = max(cosine, self._best.get(name, -np.inf))
        self._shrink()

    def merge(self, other: "BestMatches") -> None:
        """Adds the matches of another search for the same query."""
        for name, cosine in other._best.items():
            self._best[name] = max(cosine, self._best.get(name, -np.inf))
        self._shrink()

    def ranked(self) -> list[tuple[Hashable, float]]:
        """The ids and their cosines, the most similar first; ties in the order of the ids."""
        return heapq.nsmallest(self._count, self._best.items(), key=lambda each: (-each[1], str(each[0])))

    def _shrink(self) -> None:
        if len(self._best) > self._count:
            self._best = dict(self.ranked())
            self._worst = min(self._best.values())
