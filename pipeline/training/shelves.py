"""Shelves: clusters of similar images of one label, which a harder cross-fit keeps in one fold.

Random folds know the shelf-mates of every image: another photo of the same object, place and light. A day from another
place has none, so random folds promise too much. The fewer shelves a label has, the harder the folds are.
"""

from typing import Final

import numpy as np

ROUNDS: Final = 25  # of Lloyd's algorithm


def deal_shelves(
    vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, shelf_count: int, fold_count: int, seed: int
) -> np.ndarray:
    """Deals images to folds, int64 `[n]`: a label's shelves one by one, largest first, to its smallest fold.

    Args:
        vectors: float32 `[n, d]`.
        labels: label of each image, str `[n]`.
        groups: leakage group of each image, str `[n]`; a group lies on one shelf.
        shelf_count: shelves per label; fewer where a label has fewer groups.
        fold_count: number of folds.
        seed: seed of the first centres.
    """
    folds = np.zeros(len(labels), np.int64)
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for own in np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1]):
        _, members = np.unique(groups[own], return_inverse=True)
        sizes = np.bincount(members)
        centres = np.zeros((len(sizes), vectors.shape[1]))
        np.add.at(centres, members, vectors[own])
        shelves = cluster((centres / sizes[:, None]).astype(np.float32), shelf_count, seed)[members]
        filled = np.zeros(fold_count, np.int64)
        image_counts = np.bincount(shelves)
        for shelf in np.argsort(-image_counts, kind="stable"):
            fold = int(filled.argmin())
            folds[own[shelves == shelf]] = fold
            filled[fold] += image_counts[shelf]
    return folds


def cluster(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Assigns points to clusters by k-means, int64 `[n]`, from centres far from each other (k-means++).

    Source: Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    if len(points) <= count:
        return np.arange(len(points))
    chance = np.random.default_rng(seed)
    first = int(chance.integers(len(points)))
    centres = points[first : first + 1]
    nearest = _distances(points, centres)[:, 0]
    while len(centres) < count:
        total = nearest.sum()
        drawn = int(chance.choice(len(points), p=nearest / total) if total > 0 else chance.integers(len(points)))
        centres = np.concatenate([centres, points[drawn : drawn + 1]])
        nearest = np.minimum(nearest, _distances(points, centres[-1:])[:, 0])
    assigned = _distances(points, centres).argmin(axis=1)
    for _ in range(ROUNDS):
        for number in range(count):
            if (own := assigned == number).any():
                centres[number] = points[own].mean(axis=0)
        following = _distances(points, centres).argmin(axis=1)
        if (following == assigned).all():
            break
        assigned = following
    return assigned


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances, float64 `[n, k]`, never below zero."""
    squares = np.square(points).sum(axis=1, dtype=np.float64)[:, None] + np.square(centres).sum(axis=1)[None]
    return np.maximum(squares - 2 * (points @ centres.T), 0)
