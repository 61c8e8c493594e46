"""Cross-fitting: predicts every training image by a classifier trained on neither it nor its near-duplicates.

These predictions calibrate confidences and reveal doubtful labels without setting images aside.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, join_predictions
from pipeline.training.fitting import ClassifierParams, fit_pipeline, predict_features

MAX_IMAGES: Final = 200_000  # of the groups with the smallest hashes; the driver holds 100 + 8 k bytes for each


def cross_fit(
    train: DataFrame, params: ClassifierParams, report_progress: Callable[[int], object]
) -> LabelledPredictions:
    """Fits one classifier per fold on all other folds, and predicts its fold.

    Folds follow from the leakage groups: near-duplicates share a fold, and an image never changes its fold.

    Args:
        train: train split with `image_id`, `group`, `label`, `features`; cached.
        params: parameters of the classifier; the best of a grid must be in `params.params`.
        report_progress: callback with the number of finished folds.
    """
    hashed = F.xxhash64("group", F.lit("fold"))
    folded = train.withColumn("fold", F.pmod(hashed, F.lit(params.calibration_folds)).cast("int"))
    rows = folded.groupBy("fold").agg(F.collect_set("label").alias("labels")).collect()
    labels = {row["fold"]: set(row["labels"]) for row in rows}  # with few images, a fold may be empty
    classes = sorted(set().union(*labels.values()))
    nothing = np.empty(0, object)
    parts = [LabelledPredictions(nothing, nothing, nothing, tuple(classes), np.empty((0, len(classes))))]
    for done, fold in enumerate(sorted(labels), 1):
        seen = set().union(*(there for other, there in labels.items() if other != fold))
        if len(seen) < 2:
            continue  # nothing can be fitted on one label
        others, own = folded.where(F.col("fold") != fold), folded.where(F.col("fold") == fold)
        model, _ = fit_pipeline(others, replace(params, grid={}))
        few = own.orderBy(hashed, "image_id").limit(MAX_IMAGES // params.calibration_folds)
        parts.append(collect_predictions(predict_features(few, model), classes))
        report_progress(done)
    return join_predictions(parts)
