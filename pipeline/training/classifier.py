"""The classifier: one MLlib pipeline from features to a label, fitted on the train side and judged on the holdout.

What it is fitted on is `training_set.py`, its stages and their search `fitting.py`, heads by name `heads.py`, how sure
it may be `calibration.py`, scores `evaluation.py`; where models live is `resources/models/store.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.file_kinds import DECODING_PACKAGES
from pipeline.evaluation.calibration import UNCALIBRATED, Calibration, calibrate
from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions
from pipeline.evaluation.scores import evaluate
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.training.cross_fit import cross_fit
from pipeline.training.fitting import (
    ClassifierParams,
    count_fits,
    fit_pipeline,
    labels_of,
    predict_features,
    resolve_params,
)
from pipeline.training.training_set import check_trainable, identify, select_labelled

PREDICTION_COLUMNS: Final = """
    predicted_label string comment 'the most probable label, from image_features.features; null where there are none',
    confidence double comment 'calibrated probability of that label, 0 to 1, from image_features.features',
    probabilities map<string, double> comment 'of every label, from image_features.features; they add up to 1'
"""

HOLDOUT_SAMPLE: Final = 200
"""Pictures by which a later candidate is known to be judged on the same holdout."""


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier and what is known about it.

    Attributes:
        version: digest of what it was fitted from: features, labels, split, parameters and versions.
        backbone: digest of the graph whose features it takes.
        model: the MLlib pipeline, from `embedding` (vector) to `prediction` and `predicted_label`; not calibrated.
        report: what stands in `evaluation.json`.
        cross_fitted: answers to the train side of classifiers that did not see the pictures, uncalibrated; None for a
            classifier that was loaded, or fitted without.
        graph: the file of `fused.py`, on its way to the store; None of one that was loaded.
        training_set: of `list_training_set`, on its way to the store; None of one that was loaded.
    """

    version: str
    backbone: str
    model: PipelineModel
    report: dict[str, Any]
    cross_fitted: LabelledPredictions | None = None
    graph: bytes | None = field(default=None, repr=False, compare=False)
    training_set: pa.Table | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> list[str]:
        """The labels that it can answer, in the order of its probabilities."""
        return labels_of(self.model)

    @property
    def calibration(self) -> Calibration:
        """How its probabilities are read; those of a classifier of before calibration are taken as they are."""
        stored = self.report.get("calibration")
        return Calibration.from_dict(stored) if stored else UNCALIBRATED


def keep_quiet(done: int, total: int) -> None:
    """For who need not know how far a training is."""


def fit_classifier(
    features: DataFrame, params: ClassifierParams, tell: Callable[[int, int], object] = keep_quiet
) -> Classifier:
    """Fits on the train side, calibrates by cross-fitting on the same side, and evaluates on the holdout.

    Args:
        features: with `image_id`, `label`, `split`, `features` and `backbone`, and perhaps `group` and `split_alone`;
            rows without a label or features are left out.
        params: what to fit.
        tell: is given the number of fits that are done, and of all, after some of them.

    Raises:
        TrainingError: where a side is empty, there is one label only, or the features are of several backbones.
        HeadError: where there is no such head or parameter.
    """
    labelled = select_labelled(features).cache()
    try:
        searched = count_fits(params)
        fits = searched + params.calibration_folds + 1  # the last by `_judge_ungrouped`
        bare = _fit(labelled, params)
        tell(searched, fits)
        train = labelled.where(F.col("split") == TRAIN)
        best = {name: value for name, value in bare.report["chosen"].get("best", {}).items() if name != "accuracy"}
        settled = replace(params, params={**params.params, **best}, grid={})
        crossed = cross_fit(train, settled, lambda folds: tell(searched + folds, fits))
        calibration = calibrate(crossed, params.target_precision)
        calibrated = replace(bare, report={"calibration": calibration.to_dict()}, cross_fitted=crossed)
        report = {**bare.report, **_evaluate(labelled, calibrated), "ungrouped": _judge_ungrouped(labelled, settled)}
    finally:
        labelled.unpersist()
    return replace(calibrated, report={**report, **calibrated.report})


def fit_uncalibrated(features: DataFrame, params: ClassifierParams) -> Classifier:
    """As `fit_classifier`, where only right and wrong count: probabilities are the head's own."""
    labelled = select_labelled(features).cache()
    try:
        bare = _fit(labelled, params)
        return replace(bare, report={**bare.report, **_evaluate(labelled, bare)})
    finally:
        labelled.unpersist()


def identify_training(features: DataFrame, backbone: Backbone, params: ClassifierParams) -> str:
    """The version that fitting these features would give, without fitting; features as in `fit_classifier`."""
    return identify(select_labelled(features), backbone.digest, params)


def predict_holdout(features: DataFrame, classifier: Classifier) -> LabelledPredictions:
    """Answers the labelled holdout of these features.

    Raises:
        SparkRuntimeException: where the features are not of its backbone.
    """
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("label").isNotNull())
    return collect_predictions(predict(holdout, classifier), classifier.labels)


def predict(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Answers every row that has features, lazily.

    Returns:
        The columns given, with those of `PREDICTION_COLUMNS` behind them; rows without features are left out.

    Raises:
        SparkRuntimeException: when run, where a row is not of the classifier's backbone.
    """
    stranger = F.col("backbone") != classifier.backbone
    message = F.concat(
        F.lit(f"the classifier takes features of {classifier.backbone}, and got "),
        F.col("backbone"),
        F.lit(": train anew with the backbone in use (materialize the group training),"),
        F.lit(" or let DAYLIGHT_BACKBONE name the former one"),
    )
    checked = F.when(stranger, F.raise_error(message).cast("array<float>")).otherwise(F.col("features"))
    answerable = features.where(F.col("features").isNotNull()).withColumn("features", checked)
    return predict_features(answerable, classifier.model, classifier.calibration.temperature)


def _fit(labelled: DataFrame, params: ClassifierParams) -> Classifier:
    """The fitted pipeline, and of what it was made."""
    found = check_trainable(labelled)
    backbone = found["backbones"][0]
    model, chosen = fit_pipeline(labelled.where(F.col("split") == TRAIN), params)
    version_ = identify(labelled, backbone, params)
    report = {
        "classifier": version_,
        "backbone": backbone,
        "train_count": found["train_count"],
        "holdout_count": found["holdout_count"],
        "moved_count": found["moved_count"],
        "params": resolve_params(params),
        "chosen": chosen,
        "versions": {name: version(name) for name in ("pyspark", "onnxruntime", "numpy", *DECODING_PACKAGES)},
    }
    return Classifier(version_, backbone, model, report)


def _evaluate(labelled: DataFrame, classifier: Classifier) -> dict[str, Any]:
    answers = predict_holdout(labelled, classifier)
    return {
        **evaluate(answers, classifier.calibration).to_dict(),
        "holdout_sample": answers.sample_labels(HOLDOUT_SAMPLE),
    }


def _judge_ungrouped(labelled: DataFrame, params: ClassifierParams) -> dict[str, Any] | None:
    """Scores of the same training with every picture on the side where it would be by itself; None where that is so.

    What they are better by is what a split leaks that tears near-duplicates apart.
    """
    if labelled.where(~F.col("split").eqNullSafe(F.col("split_alone"))).isEmpty():
        return None
    alone = labelled.withColumn("split", F.col("split_alone"))
    model, _ = fit_pipeline(alone.where(F.col("split") == TRAIN), params)
    answers = collect_predictions(predict_features(alone.where(F.col("split") == HOLDOUT), model), labels_of(model))
    return {"accuracy": float(answers.is_right.mean()), "support": len(answers)}
