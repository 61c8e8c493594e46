"""Cross-fitting: predicts every training image by a classifier trained on neither it nor its near-duplicates.

These predictions calibrate confidences and reveal doubtful labels without setting images aside.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, join_predictions
from pipeline.storage.vectors import to_matrix
from pipeline.training.fitting import ClassifierParams, fit_pipeline, predict_features
from pipeline.training.heads import head_params
from pipeline.training.softmax_regression import fit_softmax

MAX_IMAGES: Final = 200_000  # of the groups with the smallest hashes; the driver holds 100 + 8 k bytes for each
MAX_VALUES: Final = 2**25  # features of a cross-fit on the driver, which holds up to 24 bytes for each
MLLIB_TOLERANCE: Final = 1e-6  # its default

PredictFold = Callable[[int], LabelledPredictions]
"""Fits on all other folds, which have at least two labels, and predicts the images of a fold."""


def cross_fit(
    train: DataFrame, params: ClassifierParams, report_progress: Callable[[int], object]
) -> LabelledPredictions:
    """Fits one classifier per fold on all other folds, and predicts its fold.

    Folds follow from the leakage groups: near-duplicates share a fold, and an image never changes its fold.
    Logistic regressions on up to `MAX_VALUES` features are fitted on the driver, everything else by MLlib.

    Args:
        train: train split with `image_id`, `group`, `label`, `features`; cached.
        params: parameters of the classifier; the best of a grid must be in `params.params`.
        report_progress: callback with the number of finished folds.
    """
    hashed = F.xxhash64("group", F.lit("fold"))
    folded = train.withColumn("fold", F.pmod(hashed, F.lit(params.calibration_folds)).cast("int"))
    collected = F.collect_set("label").alias("labels"), F.sum(F.size("features")).alias("values")
    rows = folded.groupBy("fold").agg(*collected).collect()
    labels = {row["fold"]: set(row["labels"]) for row in rows}  # with few images, a fold may be empty
    classes = sorted(set().union(*labels.values()))
    is_small = sum(row["values"] for row in rows) <= MAX_VALUES
    fit_folds = _fit_on_driver if is_small and fits_on_driver(params) else _fit_with_mllib
    predict_fold = fit_folds(folded, params, classes)
    nothing = np.empty(0, object)
    parts = [LabelledPredictions(nothing, nothing, nothing, tuple(classes), np.empty((0, len(classes))))]
    for done, fold in enumerate(sorted(labels), 1):
        seen = set().union(*(there for other, there in labels.items() if other != fold))
        if len(seen) < 2:
            continue  # nothing can be fitted on one label
        parts.append(predict_fold(fold))
        report_progress(done)
    return join_predictions(parts)


def fits_on_driver(params: ClassifierParams) -> bool:
    """Whether `softmax_regression.py` fits what these parameters ask of MLlib."""
    return params.head == "logistic_regression" and params.params.keys() <= {"regParam", "maxIter", "tol"}


def _fit_with_mllib(folded: DataFrame, params: ClassifierParams, classes: Sequence[str]) -> PredictFold:
    few = F.xxhash64("group", F.lit("fold")), "image_id"

    def predict_fold(fold: int) -> LabelledPredictions:
        others, own = folded.where(F.col("fold") != fold), folded.where(F.col("fold") == fold)
        model, _ = fit_pipeline(others, replace(params, grid={}))
        first = own.orderBy(*few).limit(MAX_IMAGES // params.calibration_folds)
        return collect_predictions(predict_features(first, model), classes)

    return predict_fold


def _fit_on_driver(folded: DataFrame, params: ClassifierParams, classes: Sequence[str]) -> PredictFold:
    settings = {"tol": MLLIB_TOLERANCE, **head_params(params.head, params.params)}
    rows = folded.select("image_id", "label", "fold", "features").toArrow().sort_by("image_id")
    image_ids, labels = (np.array(rows[name].to_pylist(), object) for name in ("image_id", "label"))
    folds, features = rows["fold"].to_numpy(), to_matrix(rows["features"])

    def take_vectors(chosen: np.ndarray) -> np.ndarray:
        vectors = features[chosen].astype(np.float64)
        if params.normalization == "l2":
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1)
        return vectors

    def predict_fold(fold: int) -> LabelledPredictions:
        own = folds == fold
        seen, label_index = np.unique(labels[~own], return_inverse=True)
        regression = fit_softmax(
            take_vectors(~own), label_index, settings["regParam"], int(settings["maxIter"]), settings["tol"]
        )
        shares = regression.predict(take_vectors(own))
        probabilities = np.zeros((len(shares), len(classes)))
        probabilities[:, np.searchsorted(np.array(classes, object), seen)] = shares
        predicted = seen[shares.argmax(axis=1)]
        return LabelledPredictions(image_ids[own], labels[own], predicted, tuple(classes), probabilities)

    return predict_fold
