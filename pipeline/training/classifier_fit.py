"""The fit of a classifier: on the train split, calibrated by cross-fits of it, evaluated on the holdout.

Its rows are `training_set.py`, its stages `fitting.py`, calibration and scores the package `evaluation`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.file_kinds import DECODER, DECODING_PACKAGES
from pipeline.evaluation.calibration import Calibration, soften_predictions
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import calibrate_on
from pipeline.evaluation.scores import evaluate
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.storage.private import activate
from pipeline.training.classifier import Classifier, predict_holdout
from pipeline.training.cross_fit import cross_fit, describe_levels, predict_fold, shelf_counts_of
from pipeline.training.fitting import fit_pipeline
from pipeline.training.heads import YES_NO
from pipeline.training.label_sets.judgement import judge_sets
from pipeline.training.params import ClassifierParams, count_fits, resolve_params, settle_head, settle_search
from pipeline.training.prediction import collect_features, labels_of
from pipeline.training.training_set import check_trainable, identify, select_labelled

HOLDOUT_SAMPLE: Final = 200  # images recorded to check that a later candidate is evaluated on the same holdout


def identify_training(features: DataFrame, params: ClassifierParams) -> str:
    """Computes the version of the classifier that `fit_classifier` would fit, with its arguments and errors."""
    labelled = select_labelled(features)
    found = check_trainable(labelled, features, params.head)
    return identify(labelled, found["backbones"][0], settle_head(params, len(found["labels"])))


def fit_classifier(
    features: DataFrame, params: ClassifierParams, report_progress: Callable[[int, int], object] = lambda *_: None
) -> Classifier:
    """Fits on the train split, calibrates by cross-fits of it that are as hard as the holdout, and evaluates on that.

    Args:
        features: labelled features, as for `select_labelled`.
        params: parameters of the fit.
        report_progress: callback with the number of finished fits and the total.

    Raises:
        TrainingError: if a split is empty, there is only one label, or the features come from several backbones.
        HeadError: if there is no such head or parameter.
    """
    labelled = select_labelled(features).cache()
    try:
        found = check_trainable(labelled, features, params.head)
        params = settle_head(params, len(found["labels"]))
        searched = count_fits(params)
        fits = searched + params.calibration_folds * (1 + len(shelf_counts_of(params))) + 1  # then ungrouped
        train = labelled.where(F.col("split") == TRAIN)
        with ThreadPoolExecutor(1, initializer=activate, initargs=(labelled.sparkSession,)) as beside:
            fitting, settled = beside.submit(_fit, labelled, found, params), params
            if searched > 1:
                settled = settle_search(params, fitting.result().report["chosen"])
                report_progress(searched, fits)
            levels = cross_fit(train, settled, lambda folds: report_progress(searched + folds, fits))
            uncalibrated = fitting.result()
        holdout = predict_holdout(labelled, uncalibrated)
        judge = judge_sets if params.head == YES_NO else _judge
        calibration, scores, levels = judge(levels, holdout, params.target_precision)
        sample, ungrouped = holdout.sample_labels(HOLDOUT_SAMPLE), _evaluate_ungrouped(labelled, settled)
        scores |= {"holdout_sample": sample, "ungrouped": ungrouped}
    finally:
        labelled.unpersist()
    reported = {**uncalibrated.report, "calibration": calibration.to_dict(), "levels": describe_levels(levels, params)}
    return replace(uncalibrated, report={**reported, **scores}, cross_fits=levels)


def fit_uncalibrated(features: DataFrame, params: ClassifierParams) -> Classifier:
    """Fits and evaluates without calibration, if only the predicted labels matter."""
    labelled = select_labelled(features).cache()
    try:
        fitted = _fit(labelled, check_trainable(labelled, features), params)
        holdout = predict_holdout(labelled, fitted)
        scores, sample = evaluate(holdout, fitted.calibration).to_dict(), holdout.sample_labels(HOLDOUT_SAMPLE)
        return replace(fitted, report=fitted.report | scores | {"holdout_sample": sample})
    finally:
        labelled.unpersist()


def _fit(labelled: DataFrame, found: Row, params: ClassifierParams) -> Classifier:
    backbone = found["backbones"][0]
    model, chosen = fit_pipeline(labelled.where(F.col("split") == TRAIN), params)
    version_ = identify(labelled, backbone, params)
    report = {
        "classifier": version_,
        "backbone": backbone,
        "decoder": DECODER,
        **{name: found[name] for name in ("train_count", "holdout_count", "moved_count")},
        "params": resolve_params(params),
        "chosen": chosen,
        "versions": {name: version(name) for name in ("pyspark", "onnxruntime", "numpy", *DECODING_PACKAGES)},
    }
    return Classifier(version_, backbone, model, report)


def _judge(
    levels: tuple[LabelledPredictions, ...], holdout: LabelledPredictions, target_precision: float
) -> tuple[Calibration, dict[str, Any], tuple[LabelledPredictions, ...]]:
    calibration = calibrate_on(levels, holdout, target_precision)
    softened = soften_predictions(holdout, calibration.temperature)
    return calibration, evaluate(softened, calibration).to_dict(), levels


def _evaluate_ungrouped(labelled: DataFrame, params: ClassifierParams) -> dict[str, Any] | None:
    """Scores the same training on the split without leakage groups, to show what they prevent; None if equal."""
    if labelled.where(~F.col("split").eqNullSafe(F.col("split_alone"))).isEmpty():
        return None
    is_holdout = F.col("split_alone") == HOLDOUT
    alone = labelled.where(F.col("split_alone").isin(TRAIN, HOLDOUT))
    predictions = predict_fold(alone.withColumn("fold", is_holdout.cast("int")), 1, params)
    if predictions is None:
        model, _ = fit_pipeline(alone.where(~is_holdout), params)
        predictions = collect_features(alone.where(is_holdout), model, labels_of(model))
    return {"accuracy": float(predictions.is_right.mean()), "support": len(predictions)}
