"""Linear discriminant analysis from sums: a softmax regression in closed form, whose cost hardly grows with the labels.

All labels share one covariance. The sums of images can be added and subtracted, so a fold costs what it leaves out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.training.softmax.regression import SoftmaxRegression

MIN_VARIANCE: Final = 1e-6  # of a feature, as a share of its mean square: images of a label may all be equal
BLOCK_ROWS: Final = 4096


@dataclass(frozen=True)
class Moments:
    """Sums over labelled vectors, which can be added and subtracted.

    Attributes:
        counts: images of each label, float64 `[k]`.
        sums: sum of the vectors of each label, float64 `[k, d]`.
        scatter: sum of the outer products of all vectors, float64 `[d, d]`.
    """

    counts: np.ndarray
    sums: np.ndarray
    scatter: np.ndarray

    def __add__(self, other: "Moments") -> "Moments":
        """The sums over both sets of images."""
        return Moments(self.counts + other.counts, self.sums + other.sums, self.scatter + other.scatter)

    def __sub__(self, other: "Moments") -> "Moments":
        """The sums over the images that are not in the other set."""
        return Moments(self.counts - other.counts, self.sums - other.sums, self.scatter - other.scatter)


def no_moments(label_count: int, dimension: int) -> Moments:
    """The sums over no images."""
    return Moments(np.zeros(label_count), np.zeros((label_count, dimension)), np.zeros((dimension, dimension)))


def add_vectors(moments: Moments, vectors: np.ndarray, label_index: np.ndarray) -> None:
    """Adds vectors, float `[n, d]`, to the sums in place; `label_index` is int `[n]`."""
    for start in range(0, len(vectors), BLOCK_ROWS):
        rows, labels = vectors[start : start + BLOCK_ROWS].astype(np.float64), label_index[start : start + BLOCK_ROWS]
        order = np.argsort(labels, kind="stable")
        present, firsts = np.unique(labels[order], return_index=True)
        moments.sums[present] += np.add.reduceat(rows[order], firsts, axis=0)
        moments.counts[:] += np.bincount(labels, minlength=len(moments.counts))
        moments.scatter[:] += rows.T @ rows


def fit_discriminant(moments: Moments, shrinkage: float) -> SoftmaxRegression:
    """Fits the posterior of labels that are normal with one covariance; a label without images has probability 0.

    The covariance is shrunk towards a multiple of the identity. Source: scikit-learn's `LinearDiscriminantAnalysis`
    with the solver `lsqr`, which gives the same.

    Args:
        moments: sums over the images.
        shrinkage: share of the identity, 0 to 1.
    """
    from scipy.linalg import cho_factor, cho_solve  # not above: a day imports this module, and fits nothing

    counts, total, dimension = moments.counts, moments.counts.sum(), len(moments.scatter)
    means = moments.sums / np.maximum(counts, 1)[:, None]
    covariance = (moments.scatter - means.T @ moments.sums) / total
    variance = max(np.trace(covariance), MIN_VARIANCE * np.trace(moments.scatter) / total) / dimension
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(dimension)] += max(shrinkage, MIN_VARIANCE) * variance
    weights = cho_solve(cho_factor(covariance, overwrite_a=True), means.T, overwrite_b=False).T
    with np.errstate(divide="ignore"):
        offsets = np.log(counts / total) - (weights * means).sum(axis=1) / 2
    return SoftmaxRegression(np.ascontiguousarray(weights), offsets)
