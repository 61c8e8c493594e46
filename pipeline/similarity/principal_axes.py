"""Principal axes: coordinates along which vectors vary most, of one sample and of two together."""

from typing import Final

import numpy as np

OWN_DIMENSIONS: Final = 256
"""Of the first sample's own principal axes, among which those of both samples are sought."""


def find_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances `[dimension]` and principal axes `[dimension, dimension]`, in columns; the widest first."""
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    return variances[::-1], axes[:, ::-1]


def turn(points: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates on the widest principal axes, and their variances; axes along which nothing varies are left out."""
    centred = points - points.mean(axis=0)
    variances, axes = find_axes(centred)
    variances, axes = variances[:dimensions], axes[:, :dimensions]
    is_real = variances > 1e-6 * max(variances[0], 1e-12)
    return centred @ axes[:, is_real], variances[is_real]


def narrow(points: np.ndarray, count: int) -> np.ndarray:
    """Fewer coordinates of both samples, whose widest principal axes are those of all coordinates, nearly to rounding.

    What the second sample adds to the first one's widest axes lies in the span of its own few points.

    Args:
        points: on the principal axes of the first sample.
        count: of the second sample, which is last.
    """
    if OWN_DIMENSIONS + count >= points.shape[1]:
        return points
    widest, rest = points[:, :OWN_DIMENSIONS], points[:, OWN_DIMENSIONS:]
    return np.hstack([widest, rest @ np.linalg.qr(rest[-count:].T)[0]])
