"""Strangeness: how much further a picture lies from every known class than from pictures as a whole.

The relative Mahalanobis distance of Ren et al. (2021). What was learned from seems less strange than what is new, so
that every picture is measured by what pictures of other folds taught.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.similarity.nearest import squared_distances

FOLD_COUNT: Final = 5
SHRINKAGE: Final = 0.1
"""Of the covariance towards a ball, as a part of its mean variance."""


@dataclass(frozen=True)
class Clouds:
    """Gaussian clouds of one shape, one around the mean of each class.

    Attributes:
        whitener: float32 `[dimension, dimension]`, in whose coordinates the clouds are balls of radius one.
        means: float32 `[classes, dimension]`, there.
    """

    whitener: np.ndarray
    means: np.ndarray

    def measure(self, points: np.ndarray) -> np.ndarray:
        """Squared distance `[n]` to the nearest mean."""
        return squared_distances(points @ self.whitener, self.means).min(axis=1)


@dataclass(frozen=True)
class Strangeness:
    """What the other folds taught each fold.

    Attributes:
        classes: clouds of the classes, by fold.
        wholes: the cloud of all pictures, by fold.
    """

    classes: tuple[Clouds, ...]
    wholes: tuple[Clouds, ...]

    def measure(self, points: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Strangeness `[n]` of points, float32 `[n, dimension]`, of these folds, int `[n]`; of new ones any fold."""
        strange = np.empty(len(points), np.float32)
        for fold, (classes, whole) in enumerate(zip(self.classes, self.wholes, strict=True)):
            strange[folds == fold] = classes.measure(points[folds == fold]) - whole.measure(points[folds == fold])
        return strange


def learn_strangeness(points: np.ndarray, labels: Sequence[str], folds: np.ndarray) -> Strangeness:
    """Learns from labelled points.

    Args:
        points: float32 `[n, dimension]`, some thousand in a hundred dimensions; of two folds at least.
        labels: of these.
        folds: int `[n]`, of `deal_folds`.
    """
    names = np.asarray(labels)
    others = [folds != fold for fold in range(FOLD_COUNT)]
    return Strangeness(
        tuple(_fit_clouds(points[other], names[other]) for other in others),
        tuple(_fit_clouds(points[other], np.zeros(np.count_nonzero(other))) for other in others),
    )


def deal_folds(count: int, seed: int) -> np.ndarray:
    """A random fold of each of so many pictures, int `[count]` from 0 to `FOLD_COUNT` - 1, all about as large."""
    return np.random.default_rng(seed).permutation(count) % FOLD_COUNT


def _fit_clouds(points: np.ndarray, labels: np.ndarray) -> Clouds:
    names, kinds = np.unique(labels, return_inverse=True)
    means = np.stack([points[kinds == kind].mean(axis=0) for kind in range(len(names))])
    around = points - means[kinds]
    covariance = around.T @ around / len(points)
    ball = SHRINKAGE * float(np.diagonal(covariance).mean()) or 1.0
    whitener = np.linalg.cholesky(np.linalg.inv(covariance + ball * np.eye(len(covariance), dtype=np.float32)))
    return Clouds(whitener, means @ whitener)
