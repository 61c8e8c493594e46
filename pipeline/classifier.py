"""The classifier: one MLlib pipeline from features to a label, fitted on the train side and judged on the holdout.

Its stages and their search are `fitting.py`, heads by name `heads.py`, scores `evaluation.py`; where models live is
`resources/models.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import OneVsRestModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.backbone import Backbone
from pipeline.evaluation import Evaluation, confusion_table, evaluate
from pipeline.features import DECODER
from pipeline.fitting import ClassifierParams, fit_pipeline, resolve_params
from pipeline.labels import HOLDOUT, TRAIN
from pipeline.preprocess import DECODING_PACKAGES
from pipeline.report import Report, markdown_table, only_row

ANSWER_COLUMNS: Final = """
    predicted_label string comment 'the most probable label; null where there are no features',
    confidence double comment 'probability of the predicted label, 0 to 1',
    probabilities map<string, double> comment 'probability of every label; they add up to 1'
"""
FIT_ROWS: Final = 10_000
"""Rows of one partition while fitting: every iteration is a Spark job, and small partitions are all overhead."""


class TrainingError(ValueError):
    """Features that no classifier can be fitted on; the text says what is missing."""


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier and what is known about it.

    Attributes:
        version: digest of what it was fitted from: features, labels, split, parameters and versions.
        backbone: digest of the graph whose features it takes.
        model: the MLlib pipeline, from `embedding` (vector) to `prediction` and `predicted_label`.
        report: what stands in `evaluation.json`.
    """

    version: str
    backbone: str
    model: PipelineModel
    report: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        """The labels that it can answer, in the order of its probabilities."""
        return list(cast("IndexToString", self.model.stages[-1]).getLabels())


def fit_classifier(features: DataFrame, params: ClassifierParams) -> Classifier:
    """Fits on the train side and evaluates on the holdout.

    Args:
        features: with `image_id`, `label`, `split`, `features` and `backbone`; rows without a label or features are
            left out.
        params: what to fit.

    Raises:
        TrainingError: where a side is empty, there is one label only, or the features are of several backbones.
        HeadError: where there is no such head or parameter.
    """
    labelled = _labelled(features).cache()
    try:
        found = _check_trainable(labelled)
        backbone = found["backbones"][0]
        train = labelled.where(F.col("split") == TRAIN)
        model, chosen = fit_pipeline(train, params)
        version_ = _version_of(labelled, backbone, params)
        classifier = Classifier(version_, backbone, model, {})
        evaluation = evaluate_classifier(labelled, classifier)
    finally:
        labelled.unpersist()
    report = {
        **evaluation.to_dict(),
        "classifier": version_,
        "backbone": backbone,
        "train_count": found["train_count"],
        "holdout_count": found["holdout_count"],
        "params": resolve_params(params),
        "chosen": chosen,
        "versions": {name: version(name) for name in ("pyspark", "onnxruntime", "numpy", *DECODING_PACKAGES)},
    }
    return Classifier(version_, backbone, model, report)


def identify_training(features: DataFrame, backbone: Backbone, params: ClassifierParams) -> str:
    """The version that fitting these features would give, without fitting; features as in `fit_classifier`."""
    return _version_of(_labelled(features), backbone.digest, params)


def evaluate_classifier(features: DataFrame, classifier: Classifier) -> Evaluation:
    """Evaluates a classifier on the labelled holdout of these features.

    Raises:
        SparkRuntimeException: where the features are not of its backbone.
    """
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("label").isNotNull())
    return evaluate(predict(holdout.where(F.col("features").isNotNull()), classifier))


def describe_classifier(classifier: Classifier) -> Report:
    """Scores and the confusion matrix."""
    report = classifier.report
    scores = [
        [label, f"{each['precision']:.3f}", f"{each['recall']:.3f}", each["support"]]
        for label, each in report["classes"].items()
    ]
    return Report(
        numbers={name: report[name] for name in ("accuracy", "macro_f1", "train_count", "holdout_count")},
        texts={"version": classifier.version, "backbone": classifier.backbone[:16]},
        tables={
            "confusion_matrix": confusion_table(report["confusion"]),
            "params": markdown_table(["parameter", "value"], _plain_params(report)),
            "classes": markdown_table(["label", "precision", "recall", "support"], scores),
        },
    )


def _plain_params(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    asked = {name: value for name, value in report["params"].items() if name not in ("params", "grid", "folds")}
    best = report["chosen"].get("best", {})
    return [*asked.items(), *report["params"]["params"].items(), *((f"best {name}", best[name]) for name in best)]


def predict(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Answers every row that has features, lazily.

    Returns:
        The columns given, with those of `ANSWER_COLUMNS` behind them; rows without features are left out.

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
    answerable = features.where(F.col("features").isNotNull()).withColumn("embedding", array_to_vector(checked))
    answers = classifier.model.transform(answerable).withColumn("probability", _probabilities(classifier.model))
    labels = F.array(*map(F.lit, classifier.labels))
    return answers.select(
        *features.columns,
        "predicted_label",
        F.array_max("probability").alias("confidence"),
        F.map_from_arrays(labels, F.col("probability")).alias("probabilities"),
    )


def _probabilities(model: PipelineModel) -> Column:
    """Probabilities in the order of the labels; one-vs-rest has margins, whose sigmoids are made to add up to 1."""
    if not isinstance(model.stages[-2], OneVsRestModel):
        return vector_to_array(F.col("probability"))
    least = F.lit(-700.0)  # whose sigmoid is still above 0, so that the total is
    shares = F.transform(
        vector_to_array(F.col("rawPrediction")), lambda margin: 1 / (1 + F.exp(-F.greatest(margin, least)))
    )
    total = F.aggregate(shares, F.lit(0.0), lambda sum_, share: sum_ + share)
    return F.transform(shares, lambda share: share / total)


def _labelled(features: DataFrame) -> DataFrame:
    """The rows to fit and to judge on, always in the same order: fitting adds floats up, and order shows."""
    usable = features.where(F.col("label").isNotNull() & F.col("features").isNotNull() & F.col("split").isNotNull())
    columns = usable.select("image_id", "label", "split", "features", "backbone")
    partitions = 2 + columns.count() // FIT_ROWS
    return columns.repartition(partitions, "image_id").sortWithinPartitions("image_id")


def _check_trainable(labelled: DataFrame) -> Row:
    """Returns what is there: `backbones` (exactly one), `labels` of the train side, `train_count`, `holdout_count`."""
    train = F.col("split") == TRAIN
    found = only_row(
        labelled.select(
            F.collect_set("backbone").alias("backbones"),
            F.collect_set(F.when(train, F.col("label"))).alias("labels"),
            F.count_if(train).alias("train_count"),
            F.count_if(~train).alias("holdout_count"),
        )
    )
    if len(found["labels"]) < 2:
        raise TrainingError(f"training needs two labels at least, and found {sorted(found['labels'])}")
    if found["holdout_count"] == 0:
        raise TrainingError("there is no holdout picture: add a validation or test folder, or take train/ out of paths")
    if len(found["backbones"]) > 1:
        raise TrainingError(f"features of several backbones, {sorted(found['backbones'])}: materialize them anew")
    return found


def _version_of(labelled: DataFrame, backbone: str, params: ClassifierParams) -> str:
    """The same pictures, labels, backbone, parameters and libraries: the same version: retraining changes nothing."""
    rows = only_row(labelled.select(F.bit_xor(F.xxhash64("image_id", "label", "split")), F.count("*")))
    told = json.dumps([list(rows), backbone, resolve_params(params), version("pyspark"), DECODER], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
