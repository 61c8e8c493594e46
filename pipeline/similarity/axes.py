"""Principal axes: the directions along which vectors vary most, of one sample or of two together, and whitening.

Executors import this module, so it uses numpy alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.similarity.nearest import normalise

OWN_DIMENSIONS: Final = 256  # principal axes of the first sample that are searched for the axes of both samples
WHITENED_DIMENSIONS: Final = 256
MIN_DIMENSIONS: Final = 8
VECTORS_PER_DIMENSION: Final = 4  # minimum; with fewer, all whitened vectors are equally far apart
RIDGE: Final = 1e-8
BIAS: Final = 0.1  # last whitened coordinate before scaling; it makes vectors without variance similar


def find_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds variances `[dimension]` and principal axes `[dimension, dimension]`, in columns, the widest first."""
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    return variances[::-1], axes[:, ::-1]


def find_widest_axes(vectors: np.ndarray, max_count: int) -> np.ndarray:
    """Finds the widest principal axes, float32 `[dimension, max_count]`; fewer where there is less variance.

    By singular values: with fewer vectors than dimensions this takes a fraction of the time of `find_axes`.
    """
    _, widths, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return axes[:max_count][widths[:max_count] >= 1e-3 * widths[0]].T


def rotate(points: np.ndarray, max_dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes coordinates on the widest principal axes, and their variances; axes without variance are left out."""
    centred = points - points.mean(axis=0)
    variances, axes = find_axes(centred)
    variances, axes = variances[:max_dimensions], axes[:, :max_dimensions]
    is_real = variances > 1e-6 * max(variances[0], 1e-12)
    return centred @ axes[:, is_real], variances[is_real]


def compress(points: np.ndarray, count: int) -> np.ndarray:
    """Reduces the dimensions of two samples; the widest principal axes of both stay the same, nearly to rounding.

    The second sample adds to the widest axes of the first one only in the span of its own few points.

    Args:
        points: coordinates of both samples on the principal axes of the first; the second sample comes last.
        count: size of the second sample.
    """
    if OWN_DIMENSIONS + count >= points.shape[1]:
        return points
    widest, rest = points[:, :OWN_DIMENSIONS], points[:, OWN_DIMENSIONS:]
    return np.hstack([widest, rest @ np.linalg.qr(rest[-count:].T)[0]])


@dataclass(frozen=True)
class Whitening:
    """A projection that gives vectors the same variance in all directions."""

    mean: np.ndarray  # float32 `[dimension]`
    matrix: np.ndarray  # float32 `[dimension, fewer]`

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Whitens vectors `[n, dimension]` to float16 vectors of length 1, `[n, fewer + 1]`."""
        white = (normalise(vectors) - self.mean) @ self.matrix
        white = np.hstack([white, np.full((len(white), 1), BIAS, np.float32)])
        return (white / np.linalg.norm(white, axis=1, keepdims=True)).astype(np.float16)


def fit_whitening(vectors: np.ndarray) -> Whitening:
    """Fits the principal axes of vectors of length 1, each scaled to the same variance."""
    mean = vectors.mean(axis=0)
    variances, axes = find_axes((vectors - mean).astype(np.float64))
    kept = min(WHITENED_DIMENSIONS, len(variances), max(MIN_DIMENSIONS, len(vectors) // VECTORS_PER_DIMENSION))
    scaled = axes[:, :kept] / np.sqrt(np.maximum(variances[:kept], 0) + RIDGE)
    return Whitening(mean.astype(np.float32), scaled.astype(np.float32))
