"""Fits of folds on the driver, without MLlib: from the images of the other folds, or from sums over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import numpy as np

from pipeline.evaluation.labelled_predictions import (
    LabelledPredictions,
    index_labels,
    join_predictions,
    rank_predictions,
)
from pipeline.training.heads import head_params
from pipeline.training.linear_discriminant import add_vectors, fit_discriminant, no_moments
from pipeline.training.params import ClassifierParams
from pipeline.training.softmax.regression import SoftmaxRegression, fit_softmax

MLLIB_TOLERANCE: Final = 1e-6  # its default
BLOCK_VALUES: Final = 2**24  # probabilities in memory at a time: 130 MB

PredictFold = Callable[[int], LabelledPredictions]
"""Fits on all other folds, which have at least two labels, and predicts the images of a fold."""


@dataclass(frozen=True)
class Images:
    """Images on the driver, in the order of their digests."""

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    features: np.ndarray  # float32


def take_vectors(images: Images, chosen: np.ndarray, params: ClassifierParams) -> np.ndarray:
    """Takes the vectors of chosen rows, a mask or numbers, as the head reads them, float64 `[n, d]`."""
    vectors = images.features[chosen].astype(np.float64)
    if params.normalization == "l2":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
    return vectors


def no_predictions(classes: Sequence[str]) -> LabelledPredictions:
    """Predictions of these classes for no image."""
    nothing = np.empty(0, object)
    return rank_predictions(LabelledPredictions(nothing, nothing, nothing, tuple(classes), np.empty((0, len(classes)))))


def fit_on_driver(
    images: Images, folds: np.ndarray, is_asked: np.ndarray, params: ClassifierParams, classes: Sequence[str]
) -> PredictFold:
    """Fits logistic regressions by `softmax/regression.py`.

    Args:
        images: all images.
        folds: fold of each image, int `[n]`.
        is_asked: whether to predict each image, bool `[n]`; all are fitted on.
        params: parameters of the head.
        classes: classes of the predictions.
    """
    settings = {"tol": MLLIB_TOLERANCE, **head_params(params.head, params.params)}

    def predict_fold(fold: int) -> LabelledPredictions:
        own = folds == fold
        seen, label_index = np.unique(images.labels[~own], return_inverse=True)
        vectors = take_vectors(images, ~own, params)
        regression = fit_softmax(vectors, label_index, settings["regParam"], int(settings["maxIter"]), settings["tol"])
        known = np.searchsorted(np.array(classes, object), seen)
        return _predict(images, own & is_asked, regression, params, classes, known)

    return predict_fold


def fit_from_sums(
    images: Images, folds: np.ndarray, is_asked: np.ndarray, params: ClassifierParams, classes: Sequence[str]
) -> PredictFold:
    """Fits linear discriminants by `linear_discriminant.py`; arguments as of `fit_on_driver`."""
    label_index, everywhere = index_labels(images.labels, classes), np.arange(len(classes))
    parts = {}
    for fold in np.unique(folds):
        parts[fold] = no_moments(len(classes), images.features.shape[1])
        for rows in _blocks(folds == fold, len(classes)):
            add_vectors(parts[fold], take_vectors(images, rows, params), label_index[rows])
    total = reduce(add, parts.values())

    def predict_fold(fold: int) -> LabelledPredictions:
        shrinkage = head_params(params.head, params.params)["shrinkage"]
        regression = fit_discriminant(total - parts[fold], shrinkage)
        return _predict(images, (folds == fold) & is_asked, regression, params, classes, everywhere)

    return predict_fold


def _predict(
    images: Images,
    own: np.ndarray,
    regression: SoftmaxRegression,
    params: ClassifierParams,
    classes: Sequence[str],
    known: np.ndarray,
) -> LabelledPredictions:
    """Predicts the own images block by block; `known` are the places among the classes of what was fitted."""
    names, parts = np.array(classes, object), [no_predictions(classes)]
    for rows in _blocks(own, len(classes)):
        shares = regression.predict(take_vectors(images, rows, params))
        probabilities = np.zeros((len(rows), len(classes)))
        probabilities[:, known] = shares
        predicted = names[known[shares.argmax(axis=1)]]
        part = LabelledPredictions(images.ids[rows], images.labels[rows], predicted, tuple(classes), probabilities)
        parts.append(rank_predictions(part))
    return join_predictions(parts)


def _blocks(chosen: np.ndarray, class_count: int) -> list[np.ndarray]:
    """Cuts the chosen rows, bool `[n]`, into blocks of row numbers."""
    rows, size = np.flatnonzero(chosen), BLOCK_VALUES // class_count
    return [rows[start : start + size] for start in range(0, len(rows), size)]
