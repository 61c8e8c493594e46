"""Cross-fitting: every training picture answered by a classifier that saw neither it nor its near-duplicates.

Such answers say how sure a head may be and which labels are doubtful, and cost no picture: a part kept apart for it
would be missing in the training for ever.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, join_predictions
from pipeline.training.fitting import ClassifierParams, fit_pipeline, predict_features

MAX_IMAGES: Final = 200_000
"""That are answered, those of the groups with the least hashes: the driver holds some 100 + 8 k bytes of each."""


def cross_fit(train: DataFrame, params: ClassifierParams, tell: Callable[[int], object]) -> LabelledPredictions:
    """Fits a classifier for every fold on all other folds, and lets it answer its fold.

    The folds are told from the groups, so that near-duplicates are in one fold, and a picture never changes its fold.

    Args:
        train: the train side, with `image_id`, `group`, `label`, `features`; cached.
        params: of the classifier; the best of a grid must be in `params.params` already.
        tell: is given the number of folds that are done, after each.
    """
    hashed = F.xxhash64("group", F.lit("fold"))
    folded = train.withColumn("fold", F.pmod(hashed, F.lit(params.calibration_folds)).cast("int"))
    rows = folded.groupBy("fold").agg(F.collect_set("label").alias("labels")).collect()
    labels = {row["fold"]: set(row["labels"]) for row in rows}  # of few pictures, a fold may have none
    classes = sorted(set().union(*labels.values()))
    parts = [_empty(classes)]
    for done, fold in enumerate(sorted(labels), 1):
        seen = set().union(*(there for other, there in labels.items() if other != fold))
        if len(seen) < 2:
            continue  # nothing can be fitted without this fold: its pictures are not answered
        others, own = folded.where(F.col("fold") != fold), folded.where(F.col("fold") == fold)
        model, _ = fit_pipeline(others, replace(params, grid={}))
        few = own.orderBy(hashed, "image_id").limit(MAX_IMAGES // params.calibration_folds)
        parts.append(collect_predictions(predict_features(few, model), classes))
        tell(done)
    return join_predictions(parts)


def _empty(classes: list[str]) -> LabelledPredictions:
    nothing = np.empty(0, object)
    return LabelledPredictions(nothing, nothing, nothing, tuple(classes), np.empty((0, len(classes))))
