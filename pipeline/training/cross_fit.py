"""Cross-fitting: predicts every training image by a classifier trained on neither it nor its near-duplicates.

These predictions calibrate confidences and reveal doubtful labels without setting images aside. Harder cross-fits also
keep the shelf-mates of an image out of its training, and stand for days from elsewhere (`evaluation/mixture.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, join_predictions
from pipeline.storage.vectors import to_matrix
from pipeline.training.fitting import ClassifierParams, fit_pipeline, predict_features
from pipeline.training.heads import head_params
from pipeline.training.shelves import deal_shelves
from pipeline.training.softmax_regression import fit_softmax

SHELF_COUNTS: Final = (25, 10, 5)  # per label, of the harder cross-fits
SHELF_COUNTS_OF_MLLIB: Final = (10,)  # of heads that only MLlib fits, since each cross-fit costs as much as a training
MAX_IMAGES: Final = 200_000  # of the groups with the smallest hashes; the driver holds 100 + 8 k bytes for each
MAX_VALUES: Final = 2**25  # features of a cross-fit on the driver, which holds up to 24 bytes for each
MLLIB_TOLERANCE: Final = 1e-6  # its default

PredictFold = Callable[[int], LabelledPredictions]
"""Fits on all other folds, which have at least two labels, and predicts the images of a fold."""


@dataclass(frozen=True)
class _Images:
    """Images on the driver, in the order of their digests."""

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    features: np.ndarray  # float32


def cross_fit(
    train: DataFrame,
    params: ClassifierParams,
    report_progress: Callable[[int], object] = lambda _: None,
    shelf_counts: Sequence[int] | None = None,
) -> tuple[LabelledPredictions, ...]:
    """Fits one classifier per fold on all other folds, and predicts its fold; at several levels, the easiest first.

    The folds of the first level follow from the leakage groups: near-duplicates share a fold, and an image never
    changes its fold. Those of the others keep whole shelves together. A harder level that predicts nothing is left out.
    Logistic regressions on up to `MAX_VALUES` features are fitted on the driver, everything else by MLlib; the harder
    levels are limited to that many features, of the groups with the smallest hashes.

    Args:
        train: train split with `image_id`, `group`, `label`, `features`; cached.
        params: parameters of the classifier; the best of a grid must be in `params.params`.
        report_progress: callback with the number of finished folds.
        shelf_counts: shelves per label of the harder levels, the easiest first; by default `shelf_counts_of`.
    """
    hashed = F.xxhash64("group", F.lit("fold"))
    folded = train.withColumn("fold", F.pmod(hashed, F.lit(params.calibration_folds)).cast("int"))
    collected = F.collect_set("label").alias("labels"), F.sum(F.size("features")).alias("values")
    rows = folded.groupBy("fold").agg(*collected).collect()
    classes = sorted(set[str]().union(*(row["labels"] for row in rows)))
    value_count = sum(row["values"] for row in rows)
    images, done = _collect(folded, value_count), 0
    levels = []
    for shelf_count in (0, *(shelf_counts_of(params) if shelf_counts is None else shelf_counts)):
        if shelf_count == 0 and (value_count > MAX_VALUES or not fits_on_driver(params)):
            labels = {row["fold"]: set(row["labels"]) for row in rows}
            predict_fold = _fit_with_mllib(folded, params, classes)
        else:
            folds = _deal(images, shelf_count, params) if shelf_count else images.folds
            labels = {int(fold): set(images.labels[folds == fold]) for fold in np.unique(folds)}
            predict_fold = _fit_folds(folded, images, folds, params, classes)
        parts = [_empty(classes)]
        for fold in sorted(labels):
            seen = set[str]().union(*(there for other, there in labels.items() if other != fold))
            done += 1
            if len(seen) < 2:
                continue  # nothing can be fitted on one label
            parts.append(predict_fold(fold))
            report_progress(done)
        levels.append(join_predictions(parts))
    return (levels[0], *(level for level in levels[1:] if len(level)))


def describe_levels(levels: Sequence[LabelledPredictions], params: ClassifierParams) -> list[dict[str, float]]:
    """Summarizes cross-fits for `evaluation.json`: shelves per label (0: random folds), accuracy, mean confidence."""
    return [
        {
            "shelf_count": shelf_count,
            "accuracy": float(level.is_right.mean()),
            "confidence": float(level.confidence.mean()),
        }
        for shelf_count, level in zip((0, *shelf_counts_of(params)), levels, strict=False)
        if len(level)
    ]


def shelf_counts_of(params: ClassifierParams) -> tuple[int, ...]:
    """Shelves per label of the harder cross-fits, the easiest first."""
    return SHELF_COUNTS if fits_on_driver(params) else SHELF_COUNTS_OF_MLLIB


def fits_on_driver(params: ClassifierParams) -> bool:
    """Whether `softmax_regression.py` fits what these parameters ask of MLlib."""
    return params.head == "logistic_regression" and params.params.keys() <= {"regParam", "maxIter", "tol"}


def _collect(folded: DataFrame, value_count: int) -> _Images:
    if value_count > MAX_VALUES:
        count = folded.count()
        first = folded.orderBy(F.xxhash64("group", F.lit("fold")), "image_id")
        folded = first.limit(MAX_VALUES * count // value_count)
    rows = folded.select("image_id", "label", "group", "fold", "features").toArrow().sort_by("image_id")
    ids, labels, groups = (np.array(rows[name].to_pylist(), object) for name in ("image_id", "label", "group"))
    return _Images(ids, labels, groups, rows["fold"].to_numpy(), to_matrix(rows["features"]))


def _deal(images: _Images, shelf_count: int, params: ClassifierParams) -> np.ndarray:
    vectors = _take_vectors(images, np.ones(len(images.ids), bool), params).astype(np.float32)
    return deal_shelves(vectors, images.labels, images.groups, shelf_count, params.calibration_folds, params.seed)


def _take_vectors(images: _Images, chosen: np.ndarray, params: ClassifierParams) -> np.ndarray:
    vectors = images.features[chosen].astype(np.float64)
    if params.normalization == "l2":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
    return vectors


def _empty(classes: Sequence[str]) -> LabelledPredictions:
    nothing = np.empty(0, object)
    return LabelledPredictions(nothing, nothing, nothing, tuple(classes), np.empty((0, len(classes))))


def _fit_folds(
    folded: DataFrame, images: _Images, folds: np.ndarray, params: ClassifierParams, classes: Sequence[str]
) -> PredictFold:
    if fits_on_driver(params):
        return _fit_on_driver(images, folds, params, classes)
    columns = {"image_id": pa.array(images.ids.tolist(), pa.string()), "fold": pa.array(folds, pa.int32())}
    dealt = folded.sparkSession.createDataFrame(pa.table(columns))
    return _fit_with_mllib(folded.drop("fold").join(F.broadcast(dealt), "image_id"), params, classes)


def _fit_with_mllib(folded: DataFrame, params: ClassifierParams, classes: Sequence[str]) -> PredictFold:
    few = F.xxhash64("group", F.lit("fold")), "image_id"

    def predict_fold(fold: int) -> LabelledPredictions:
        others, own = folded.where(F.col("fold") != fold), folded.where(F.col("fold") == fold)
        model, _ = fit_pipeline(others, replace(params, grid={}))
        first = own.orderBy(*few).limit(MAX_IMAGES // params.calibration_folds)
        return collect_predictions(predict_features(first, model), classes)

    return predict_fold


def _fit_on_driver(images: _Images, folds: np.ndarray, params: ClassifierParams, classes: Sequence[str]) -> PredictFold:
    settings = {"tol": MLLIB_TOLERANCE, **head_params(params.head, params.params)}

    def predict_fold(fold: int) -> LabelledPredictions:
        own = folds == fold
        seen, label_index = np.unique(images.labels[~own], return_inverse=True)
        vectors = _take_vectors(images, ~own, params)
        regression = fit_softmax(vectors, label_index, settings["regParam"], int(settings["maxIter"]), settings["tol"])
        shares = regression.predict(_take_vectors(images, own, params))
        probabilities = np.zeros((len(shares), len(classes)))
        probabilities[:, np.searchsorted(np.array(classes, object), seen)] = shares
        predicted = seen[shares.argmax(axis=1)]
        return LabelledPredictions(images.ids[own], images.labels[own], predicted, tuple(classes), probabilities)

    return predict_fold
