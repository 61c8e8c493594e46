"""Cross-fitting: predicts every training image by a classifier trained on neither it nor its near-duplicates.

These predictions calibrate confidences and reveal doubtful labels without setting images aside. Harder cross-fits also
keep the shelf-mates of an image out of its training, and stand for days from elsewhere (`evaluation/mixture.py`).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions, join_predictions
from pipeline.evaluation.ranked import MANY
from pipeline.images.label_sets import list_labels
from pipeline.storage.counting import only_row
from pipeline.storage.local_frames import open_table
from pipeline.storage.vectors import to_matrix
from pipeline.training.fitting import fit_pipeline
from pipeline.training.fold_fits import (
    Images,
    PredictFold,
    fit_from_sums,
    fit_on_driver,
    no_predictions,
    take_vectors,
)
from pipeline.training.heads import YES_NO
from pipeline.training.label_sets.folds import fit_sets_on_driver, no_set_predictions
from pipeline.training.params import ClassifierParams
from pipeline.training.prediction import collect_features
from pipeline.training.shelves import deal_shelves

SHELF_COUNTS: Final = (25, 10, 5)  # per label, of the harder cross-fits
SHELF_COUNTS_OF_MLLIB: Final = (10,)  # of heads that only MLlib fits, since each cross-fit costs as much as a training
MAX_IMAGES: Final = 200_000  # of the groups with the smallest hashes; the driver holds 100 + 8 k bytes for each
MAX_VALUES: Final = 2**25  # features of all fits on the driver at a time, which hold up to 24 bytes for each
MAX_VALUES_OF_SUMS: Final = 2**27  # of a head that is fitted from sums: up to 12 bytes for each
MAX_RANKED: Final = 20_000  # images of more than `MANY` labels that a harder level predicts, the smallest digests


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
    texts = set[str]().union(*(row["labels"] for row in rows))
    classes = list_labels(texts) if params.head == YES_NO else sorted(texts)
    value_count = sum(row["values"] for row in rows)
    images, done = _collect(folded, value_count, max_values := max_values_of(params)), 0
    levels = []
    for shelf_count in (0, *(shelf_counts_of(params) if shelf_counts is None else shelf_counts)):
        is_asked = np.ones(len(images.ids), bool)
        if shelf_count and len(classes) > MANY:
            is_asked[MAX_RANKED:] = False
        threads = _count_threads(images.features.size) if fits_on_driver(params) else 1
        if shelf_count == 0 and (value_count > max_values or not fits_on_driver(params)):
            threads = 1
            labels = {row["fold"]: set(row["labels"]) for row in rows}
            predict_fold = _fit_with_mllib(folded, params, classes)
        else:
            folds = _deal(images, shelf_count, params) if shelf_count else images.folds
            labels = {int(fold): set(images.labels[folds == fold]) for fold in np.unique(folds)}
            predict_fold = _fit_folds(folded, images, folds, is_asked, params, classes)
        parts = [no_set_predictions(classes) if params.head == YES_NO else no_predictions(classes)]
        for part in _predict_folds(predict_fold, _list_fittable(labels), threads):
            parts.append(part)
            done += 1
            report_progress(done)
        levels.append(join_predictions(parts))
    return (levels[0], *(level for level in levels[1:] if len(level)))


def predict_fold(folded: DataFrame, fold: int, params: ClassifierParams) -> LabelledPredictions | None:
    """Predicts the images of a fold by a classifier fitted on all others; None if only MLlib can fit it.

    Args:
        folded: as `train` of `cross_fit`, with an int `fold`.
        fold: the fold to predict.
        params: parameters of the classifier, without a search.
    """
    found = only_row(folded.agg(F.collect_set("label").alias("labels"), F.sum(F.size("features")).alias("values")))
    max_values = max_values_of(params)
    if params.head == YES_NO or not fits_on_driver(params) or found["values"] > max_values:
        return None
    images = _collect(folded, found["values"], max_values)
    return _fit_folds(folded, images, images.folds, images.folds == fold, params, sorted(found["labels"]))(fold)


def _list_fittable(labels: Mapping[int, set[str]]) -> list[int]:
    """Lists the folds beside which there are at least two labels; nothing can be fitted on one."""
    others = {fold: set[str]().union(*(labels[each] for each in labels if each != fold)) for fold in sorted(labels)}
    return [fold for fold, seen in others.items() if len(seen) > 1]


def _predict_folds(predict_fold: PredictFold, folds: Sequence[int], threads: int) -> Iterator[LabelledPredictions]:
    if threads == 1:
        yield from map(predict_fold, folds)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(predict_fold, folds)


def _count_threads(value_count: int) -> int:
    """Counts the fits that may run at once: as many as there are cores, within the memory of `MAX_VALUES` features."""
    return max(1, min(os.cpu_count() or 1, MAX_VALUES // max(1, value_count)))


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
    """Whether `softmax/regression.py` or `linear_discriminant.py` fits what these parameters ask of MLlib."""
    if is_fitted_from_sums(params):
        return params.normalization != "standard"
    return params.head in ("logistic_regression", YES_NO) and params.params.keys() <= {"regParam", "maxIter", "tol"}


def is_fitted_from_sums(params: ClassifierParams) -> bool:
    """Whether the head needs sums over the images only."""
    return params.head == "linear_discriminant"


def max_values_of(params: ClassifierParams) -> int:
    """Features of a cross-fit on the driver."""
    return MAX_VALUES_OF_SUMS if is_fitted_from_sums(params) else MAX_VALUES


def _collect(folded: DataFrame, value_count: int, max_values: int) -> Images:
    if value_count > max_values:
        count = folded.count()
        first = folded.orderBy(F.xxhash64("group", F.lit("fold")), "image_id")
        folded = first.limit(max_values * count // value_count)
    rows = folded.select("image_id", "label", "group", "fold", "features").toArrow().sort_by("image_id")
    ids, labels, groups = (np.array(rows[name].to_pylist(), object) for name in ("image_id", "label", "group"))
    return Images(ids, labels, groups, rows["fold"].to_numpy(), to_matrix(rows["features"]))


def _deal(images: Images, shelf_count: int, params: ClassifierParams) -> np.ndarray:
    vectors = take_vectors(images, np.ones(len(images.ids), bool), params).astype(np.float32)
    return deal_shelves(vectors, images.labels, images.groups, shelf_count, params.calibration_folds, params.seed)


def _fit_folds(
    folded: DataFrame,
    images: Images,
    folds: np.ndarray,
    is_asked: np.ndarray,
    params: ClassifierParams,
    classes: Sequence[str],
) -> PredictFold:
    """Chooses who fits the folds; the images that are not asked for are fitted on, and not predicted."""
    if fits_on_driver(params):
        fit = fit_from_sums if is_fitted_from_sums(params) else fit_on_driver
        fit = fit_sets_on_driver if params.head == YES_NO else fit
        return fit(images, folds, is_asked, params, classes)
    columns = {"image_id": pa.array(images.ids.tolist(), pa.string()), "fold": pa.array(folds, pa.int32())}
    dealt = open_table(folded.sparkSession, pa.table(columns))
    return _fit_with_mllib(folded.drop("fold").join(F.broadcast(dealt), "image_id"), params, classes)


def _fit_with_mllib(folded: DataFrame, params: ClassifierParams, classes: Sequence[str]) -> PredictFold:
    few = F.xxhash64("group", F.lit("fold")), "image_id"

    def predict_fold(fold: int) -> LabelledPredictions:
        others, own = folded.where(F.col("fold") != fold), folded.where(F.col("fold") == fold)
        model, _ = fit_pipeline(others, replace(params, grid={}))
        first = own.orderBy(*few).limit(MAX_IMAGES // params.calibration_folds)
        return collect_features(first, model, classes)

    return predict_fold
