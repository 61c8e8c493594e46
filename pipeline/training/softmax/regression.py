"""Softmax regression on the driver: what MLlib's logistic regression computes, at a tenth of its cost.

It fits the folds of a cross-fit, of which only predictions are kept; a classifier is always fitted by MLlib.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

MEMORY: Final = 10  # former steps that L-BFGS keeps, as in MLlib


@dataclass(frozen=True)
class SoftmaxRegression:
    """A fitted regression of k labels on d features."""

    weights: np.ndarray  # float64 `[k, d]`
    offsets: np.ndarray  # float64 `[k]`

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Computes probabilities, float64 `[n, k]`, from float64 `[n, d]`."""
        return np.asarray(np.exp(_log_softmax(vectors @ self.weights.T + self.offsets)))

    def predict_each(self, vectors: np.ndarray) -> np.ndarray:
        """Like `predict`, row by row: a vector has the same probabilities in any batch, to the last digit."""
        scores = np.matmul(self.weights, vectors[:, :, None])[:, :, 0]
        return np.asarray(np.exp(_log_softmax(scores + self.offsets)))


def fit_softmax(
    vectors: np.ndarray, label_index: np.ndarray, penalty: float, max_iterations: int, tolerance: float
) -> SoftmaxRegression:
    """Minimizes MLlib's objective by L-BFGS from MLlib's start.

    The objective is the mean negative log-likelihood plus half the penalty times the squared weights of standardized
    features. A constant feature has no weight. Of two labels, only the second has weights. Features are multiplied in
    float32, everything else is float64.

    Args:
        vectors: float64 `[n, d]`.
        label_index: int `[n]`, with each of 0 to k - 1, k at least 2.
        penalty: MLlib's `regParam`.
        max_iterations: its `maxIter`.
        tolerance: its `tol`; the search ends early where no slope is steeper.
    """
    from scipy.optimize import minimize  # not above: a day imports this module, and fits nothing

    label_count, dimension = int(label_index.max()) + 1, vectors.shape[1]
    truth = np.eye(label_count)[label_index]
    free = slice(1 if label_count == 2 else 0, label_count)
    means, deviations = vectors.mean(axis=0), vectors.std(axis=0, ddof=1)
    scales = np.divide(1, deviations, out=np.zeros(dimension), where=np.ptp(vectors, axis=0) > 0)
    scaled = ((vectors - means) * scales).astype(np.float32)

    def measure_cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offsets = flat.reshape(-1, dimension + 1)[:, :-1], flat.reshape(-1, dimension + 1)[:, -1]
        scores = np.zeros_like(truth)
        scores[:, free] = scaled @ weights.T.astype(np.float32) + offsets
        logs = _log_softmax(scores)
        errors = (np.exp(logs) - truth)[:, free] / len(truth)
        slopes = np.column_stack([errors.T.astype(np.float32) @ scaled + penalty * weights, errors.sum(axis=0)])
        return float(penalty / 2 * (weights**2).sum() - (logs * truth).sum() / len(truth)), slopes.ravel()

    fitted, frequencies = np.zeros((label_count, dimension + 1)), np.log(truth.mean(axis=0))
    fitted[:, -1] = frequencies - frequencies[0]
    options = {"maxiter": max_iterations, "maxcor": MEMORY, "gtol": tolerance, "ftol": 0}
    found = minimize(measure_cost, fitted[free].ravel(), jac=True, method="L-BFGS-B", options=options)
    fitted[free] = found.x.reshape(-1, dimension + 1)
    weights = fitted[:, :-1] * scales
    return SoftmaxRegression(weights, fitted[:, -1] - weights @ means)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    """Computes logarithms of probabilities, however extreme the scores."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
