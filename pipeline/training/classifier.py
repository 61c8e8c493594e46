"""The classifier: an MLlib pipeline from features to a label, fitted on the train split, evaluated on the holdout.

Its rows are `training_set.py`, its stages `fitting.py`, calibration and scores the package `evaluation`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.file_kinds import DECODER, DECODING_PACKAGES
from pipeline.evaluation.calibration import UNCALIBRATED, Calibration, soften_predictions
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import calibrate_on
from pipeline.evaluation.ranked import MANY
from pipeline.evaluation.scores import evaluate
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.storage.private import activate
from pipeline.training.cross_fit import cross_fit, describe_levels, predict_fold, shelf_counts_of
from pipeline.training.fitting import (
    ClassifierParams,
    collect_features,
    count_fits,
    fit_pipeline,
    labels_of,
    predict_features,
    resolve_params,
    settle_head,
    settle_search,
)
from pipeline.training.heads import YES_NO
from pipeline.training.label_sets.judgement import judge_sets
from pipeline.training.label_sets.model import find_questions
from pipeline.training.training_set import check_trainable, identify, select_labelled

PREDICTION_COLUMNS: Final = """
    predicted_label string comment 'most probable label, from image_features.features; null where there are none',
    confidence double comment 'calibrated probability of that label, 0 to 1, from image_features.features',
    probabilities map<string, double> comment 'of the likeliest labels, the rest under *; from image_features.features'
"""

EARLIER: Final = "an earlier version"
HOLDOUT_SAMPLE: Final = 200  # images recorded to check that a later candidate is evaluated on the same holdout


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier with its evaluation.

    Attributes:
        version: digest of labels, split, parameters, library versions and backbone.
        backbone: digest of the graph whose features it reads.
        model: MLlib pipeline from `embedding` (vector) to `prediction` and `predicted_label`; not calibrated.
        report: contents of `evaluation.json`.
        cross_fits: result of `cross_fit`, not calibrated; empty if loaded, or fitted without.
        graph: file of `end_to_end_graph.py`, to be stored; None if loaded.
        training_set: result of `list_training_set`, to be stored; None if loaded.
    """

    version: str
    backbone: str
    model: PipelineModel
    report: dict[str, Any]
    cross_fits: tuple[LabelledPredictions, ...] = ()
    graph: bytes | None = field(default=None, repr=False, compare=False)
    training_set: pa.Table | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> list[str]:
        """Labels that it can predict, in the order of its probabilities."""
        return labels_of(self.model)

    @property
    def decoder(self) -> str:
        """Version of the decoder whose pixels it learned from; empty for a classifier that does not record it."""
        return str(self.report.get("decoder", ""))

    @property
    def calibration(self) -> Calibration:
        """Temperature and threshold; neutral for a classifier fitted before calibration existed."""
        stored = self.report.get("calibration")
        return Calibration.from_dict(stored) if stored else UNCALIBRATED

    @property
    def is_of_sets(self) -> bool:
        """Whether it answers a yes/no question about each label."""
        return find_questions(self.model) is not None

    @property
    def temperatures(self) -> dict[str, float]:
        """Temperature of each label of sets; empty for another classifier, or before it is calibrated."""
        return dict(self.report.get("temperatures", {}))


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


def predict_holdout(features: DataFrame, classifier: Classifier) -> LabelledPredictions:
    """Predicts the labelled holdout of these features; errors are those of `predict`."""
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("label").isNotNull())
    checked, temperature = _check_origin(holdout, classifier), classifier.calibration.temperature
    return collect_features(checked, classifier.model, classifier.labels, temperature, classifier.temperatures)


def predict(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Predicts every row that has features, lazily.

    Returns:
        The given columns followed by those of `PREDICTION_COLUMNS` and `ancestors` (`hierarchy.find_ancestors`); rows
        without features are left out.

    Raises:
        SparkRuntimeException: when run, if a row comes from another backbone or decoder.
    """
    return predict_at(features, classifier, classifier.calibration.temperature)


def predict_at(
    features: DataFrame, classifier: Classifier, temperature: float | Column, top_count: int = MANY
) -> DataFrame:
    """Like `predict`, by another temperature than its own, or by one for each row; 1 leaves probabilities as fitted.

    A classifier of sets always has its own ones.
    `probabilities` has the `top_count` largest, and the sum of the others, if there are any, under `OTHERS`.
    """
    checked = _check_origin(features, classifier)
    return predict_features(checked, classifier.model, temperature, top_count, classifier.temperatures)


def _check_origin(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Keeps rows with features; one of another backbone or decoder than the classifier's raises an error when read."""
    answerable = features.where(F.col("features").isNotNull())
    return answerable.withColumn("features", _refuse_foreign(answerable.columns, classifier))


def _refuse_foreign(columns: Sequence[str], classifier: Classifier) -> Column:
    """The features, or an error at a row of another backbone or decoder than the classifier's."""
    backbone = F.concat(
        F.lit(f"the classifier expects features of {classifier.backbone}, but got "),
        F.col("backbone"),
        F.lit(": train with the current backbone (materialize the group training),"),
        F.lit(" or set DAYLIGHT_BACKBONE to the former one"),
    )
    checked = F.when(F.col("backbone") != classifier.backbone, F.raise_error(backbone).cast("array<float>"))
    if "decoder" in columns:
        decoder = F.concat(
            F.lit(f"the classifier learned from images decoded by {classifier.decoder or EARLIER}, but these were by "),
            F.coalesce("decoder", F.lit(EARLIER)),
            F.lit(": materialize the group training, and image_features of this day, so that both decode alike"),
        )
        is_foreign = ~F.coalesce("decoder", F.lit("")).eqNullSafe(classifier.decoder)
        checked = checked.when(is_foreign, F.raise_error(decoder).cast("array<float>"))
    return checked.otherwise(F.col("features"))


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
