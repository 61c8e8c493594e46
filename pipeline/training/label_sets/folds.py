"""Folds of a cross-fit of sets: each label's regression on the driver, as MLlib would fit it."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.set_predictions import SetPredictions, predict_sets, to_members
from pipeline.training.fold_fits import MLLIB_TOLERANCE, Images, PredictFold, take_vectors
from pipeline.training.heads import head_params
from pipeline.training.params import ClassifierParams
from pipeline.training.softmax.regression import fit_softmax


def no_set_predictions(classes: Sequence[str]) -> SetPredictions:
    """Predictions of sets of these labels for no image."""
    nothing = np.empty(0, object)
    return predict_sets(nothing, nothing, classes, np.empty((0, len(classes))))


def fit_sets_on_driver(
    images: Images, folds: np.ndarray, is_asked: np.ndarray, params: ClassifierParams, classes: Sequence[str]
) -> PredictFold:
    """Fits logistic regressions of each label by `softmax/regression.py`; arguments as of `fold_fits.fit_on_driver`.

    A label that holds for all or none of the other folds has their smoothed share as its probability.
    """
    settings = {"tol": MLLIB_TOLERANCE, **head_params(params.head, params.params)}
    holds = to_members(images.labels, classes)

    def predict_fold(fold: int) -> SetPredictions:
        others, own = folds != fold, (folds == fold) & is_asked
        vectors, asked = take_vectors(images, others, params), take_vectors(images, own, params)
        shares = np.empty((own.sum(), len(classes)))
        for place, held in enumerate(holds[others].T):
            if held.any() and not held.all():
                options = settings["regParam"], int(settings["maxIter"]), settings["tol"]
                shares[:, place] = fit_softmax(vectors, held.astype(int), *options).predict(asked)[:, 1]
            else:
                shares[:, place] = (held.sum() + 1) / (len(held) + 2)
        return predict_sets(images.ids[own], images.labels[own], classes, shares)

    return predict_fold
