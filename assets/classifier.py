"""The classifier: a candidate from every training, and the promoted one that answers the days."""

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.backbone import Backbone
from pipeline.classifier import (
    Classifier,
    ClassifierParams,
    describe_classifier,
    fit_classifier,
)
from pipeline.fused import add_graph
from pipeline.heads import HeadName, Normalization
from pipeline.promotion import compare_classifiers
from resources.gate import Gate
from resources.models import ModelStore
from resources.pages import show_numbers, show_report


class TrainingConfig(dg.Config):
    """What one launch trains."""

    head: HeadName = Field(default="logistic_regression", description="Name of the MLlib classifier on the features.")
    normalization: Normalization = Field(
        default="l2", description="Of the vector before the head: l2, standard (zero mean, unit deviation) or none."
    )
    params: dict[str, float] = Field(
        default_factory=dict, description="MLlib parameters of the head by name, such as regParam: 0.03."
    )
    grid: dict[str, list[float]] = Field(
        default_factory=dict,
        description="Values by parameter, such as regParam: [0.01, 0.1]; cross-validation tries every combination.",
    )
    folds: int = Field(default=3, ge=2, description="Folds of the cross-validation.")
    seed: int = Field(default=20260101, description="Of everything random in the training.")


@dg.asset(
    group_name="training",
    kinds={"spark", "mllib"},
    owners=["team:vision"],
    io_manager_key="models",
)
def classifier_candidate(
    config: TrainingConfig, training_features: DataFrame, backbone: Backbone
) -> dg.Output[Classifier]:
    """Fitted MLlib pipeline with its evaluation on the holdout; it answers nothing until it is promoted.

    The same pictures, labels, backbone and parameters give the same version, so that a repeated training makes nothing
    stale. Backbone and head lie beside it in one ONNX file, classifier.onnx, where the head allows it.
    """
    return _output(add_graph(fit_classifier(training_features, ClassifierParams(**config.model_dump())), backbone))


@dg.asset(group_name="training", kinds={"mllib"}, owners=["team:vision"], io_manager_key="models")
def classifier(classifier_candidate: Classifier) -> dg.Output[Classifier]:
    """Promoted classifier, the one that answers every day.

    Only a candidate that passed all blocking checks gets here; otherwise the former one stays.
    """
    return _output(classifier_candidate)


@dg.asset_check(asset="classifier_candidate", blocking=True)
def candidate_reaches_the_accuracy_floor(classifier_candidate: Classifier, gate: Gate) -> dg.AssetCheckResult:
    """Accuracy on the holdout is at least the floor (DAYLIGHT_ACCURACY_FLOOR)."""
    accuracy = classifier_candidate.report["accuracy"]
    return dg.AssetCheckResult(
        passed=accuracy >= gate.accuracy_floor,
        description=f"accuracy {accuracy:.3f}, floor {gate.accuracy_floor:.3f} (DAYLIGHT_ACCURACY_FLOOR)",
        metadata=show_numbers({"accuracy": accuracy, "floor": gate.accuracy_floor}),
    )


@dg.asset_check(
    asset="classifier_candidate", blocking=True, additional_ins={"training_features": dg.AssetIn("training_features")}
)
def candidate_is_not_worse_than_the_classifier(
    classifier_candidate: Classifier, training_features: DataFrame, model_store: ModelStore
) -> dg.AssetCheckResult:
    """Accuracy on today's holdout is at least that of the classifier in use, on the same pictures."""
    compared = compare_classifiers(classifier_candidate, model_store.find_classifier("classifier"), training_features)
    numbers = {"candidate": compared.candidate, "present": compared.present}
    return dg.AssetCheckResult(
        passed=compared.present is None or compared.candidate >= compared.present,
        description=compared.told,
        metadata=show_numbers({name: value for name, value in numbers.items() if value is not None}),
    )


def _output(fitted: Classifier) -> dg.Output[Classifier]:
    metadata = show_report(describe_classifier(fitted))
    return dg.Output(fitted, data_version=dg.DataVersion(fitted.version), metadata=metadata)
