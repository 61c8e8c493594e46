"""Outlier score: how much farther an image lies from its nearest class than from images as a whole.

The relative Mahalanobis distance of Ren et al. (2021). Training images look less anomalous than new ones, so each image
is scored by a model fitted to the other folds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.similarity.nearest import squared_distances

FOLD_COUNT: Final = 5
SHRINKAGE: Final = 0.1  # share of the mean variance that is added to the diagonal of the covariance


@dataclass(frozen=True)
class ClassGaussians:
    """Gaussians of the classes, which share one covariance."""

    whitener: np.ndarray  # float32 `[dimension, dimension]`; in its coordinates the covariance is the identity
    means: np.ndarray  # float32 `[classes, dimension]`, in these coordinates

    def measure(self, points: np.ndarray) -> np.ndarray:
        """Computes the squared Mahalanobis distance `[n]` to the nearest class."""
        return squared_distances(points @ self.whitener, self.means).min(axis=1)


@dataclass(frozen=True)
class OutlierScorer:
    """Models of each fold, fitted to the other folds."""

    classes: tuple[ClassGaussians, ...]
    backgrounds: tuple[ClassGaussians, ...]  # one Gaussian of all images each

    def score(self, points: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Scores points, float32 `[n, dimension]`, by the models of their folds, int `[n]`; any fold for new points."""
        scores = np.empty(len(points), np.float32)
        for fold, (classes, background) in enumerate(zip(self.classes, self.backgrounds, strict=True)):
            scores[folds == fold] = classes.measure(points[folds == fold]) - background.measure(points[folds == fold])
        return scores


def fit_outlier_scorer(points: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> OutlierScorer:
    """Fits the models of all folds.

    Args:
        points: float32 `[n, dimension]`, a few thousand in a hundred dimensions, of at least two folds.
        labels: str `[n]`.
        folds: int `[n]`, from `assign_folds`.
    """
    others = [folds != fold for fold in range(FOLD_COUNT)]
    return OutlierScorer(
        tuple(_fit_gaussians(points[other], labels[other]) for other in others),
        tuple(_fit_gaussians(points[other], np.zeros(np.count_nonzero(other))) for other in others),
    )


def assign_folds(count: int, seed: int) -> np.ndarray:
    """Assigns a random fold to each of `count` images, int `[count]` from 0 to `FOLD_COUNT` - 1, of equal size."""
    return np.random.default_rng(seed).permutation(count) % FOLD_COUNT


def _fit_gaussians(points: np.ndarray, labels: np.ndarray) -> ClassGaussians:
    names, classes = np.unique(labels, return_inverse=True)
    means = np.stack([points[classes == number].mean(axis=0) for number in range(len(names))])
    residuals = points - means[classes]
    covariance = residuals.T @ residuals / len(points)
    ridge = SHRINKAGE * float(np.diagonal(covariance).mean()) or 1.0
    whitener = np.linalg.cholesky(np.linalg.inv(covariance + ridge * np.eye(len(covariance), dtype=np.float32)))
    return ClassGaussians(whitener, means @ whitener)
