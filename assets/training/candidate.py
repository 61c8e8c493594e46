"""The asset `classifier_candidate`: the classifier of every training."""

from dataclasses import replace

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from assets.declarations import training_asset
from pipeline.embed.backbone import Backbone
from pipeline.evaluation.ranked import MANY
from pipeline.images.split import join_split
from pipeline.reports.report import Report
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier
from pipeline.training.classifier_fit import fit_classifier, identify_training
from pipeline.training.classifier_report import describe_classifier, draw_errors
from pipeline.training.graph.end_to_end import add_graph
from pipeline.training.heads import HeadName, Normalization
from pipeline.training.params import ClassifierParams
from pipeline.training.training_set import list_training_set
from resources.instance.pages import show_images, show_report
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.progress import log_progress


class TrainingConfig(dg.Config):
    """Settings of one training."""

    head: HeadName = Field(
        default="auto",
        description="MLlib classifier to fit on the features; auto: logistic_regression, or linear_discriminant for"
        f" more than {MANY} labels.",
    )
    normalization: Normalization = Field(
        default="l2", description="Normalization of the features: l2, standard (zero mean, unit deviation) or none."
    )
    params: dict[str, float] = Field(
        default_factory=dict, description="MLlib parameters of the head by name, such as regParam: 0.03."
    )
    grid: dict[str, list[float]] = Field(
        default_factory=dict,
        description="Values by parameter, such as regParam: [0.01, 0.1]; cross-validation tries every combination.",
    )
    heads: dict[str, dict[str, list[float]]] = Field(
        default_factory=dict,
        description="Heads to compare by cross-validation, each with its grid, such as linear_discriminant:"
        " {shrinkage: [0.1, 0.3]}; they replace head, params and grid.",
    )
    folds: int = Field(default=3, ge=2, description="Folds of the cross-validation.")
    seed: int = Field(default=20260101, description="Seed of the whole training.")
    target_precision: float = Field(
        default=0.95, gt=0, lt=1, description="Minimum precision of the auto-accepted predictions; others are reviewed."
    )
    calibration_folds: int = Field(default=5, ge=2, description="Folds of the cross-fit that calibrates confidence.")


@training_asset(kinds={"spark", "mllib"}, io_manager_key="models")
def classifier_candidate(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    training_features: DataFrame,
    training_split: DataFrame,
    training_images: StoredRows,
    backbone: Backbone,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> dg.Output[Classifier]:
    """Fitted MLlib pipeline with its evaluation on the holdout; it predicts nothing until it is promoted.

    The same images, labels, split, backbone and parameters give the same version, so repeating a training makes nothing
    stale, and takes the candidate from the store if it is there and undamaged. Backbone and head are also exported to
    one ONNX file, classifier.onnx, if the head allows it; training_set.parquet lists the files of the training set.
    """
    params, features = ClassifierParams(**config.model_dump()), join_split(training_features, training_split)
    fitted = model_store.recall(identify_training(features, params))
    if fitted:
        context.log.info(f"{fitted.version} is stored with the same images, split and parameters: nothing is fitted")
    else:
        fitted = add_graph(fit_classifier(features, params, log_progress(context, "fits")), backbone)
        fitted = replace(fitted, training_set=list_training_set(features, training_images))
    return show_classifier(context, fitted, Report(images=draw_errors(fitted, training_images, settings.limits)))


def show_classifier(context: dg.AssetExecutionContext, fitted: Classifier, more: Report) -> dg.Output[Classifier]:
    """Adds the page of a classifier to it, with one more report."""
    report = describe_classifier(fitted)
    images = Report(images={**report.images, **more.images})
    metadata = show_report(report) | show_report(more) | show_images(images, context)
    return dg.Output(fitted, data_version=dg.DataVersion(fitted.version), metadata=metadata)
