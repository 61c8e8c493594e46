"""The classifier: a candidate from every training, and the promoted one that answers the days."""

from dataclasses import replace

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from assets.training.gate import VERDICTS, WITHDRAWN
from pipeline.embed.backbone import Backbone
from pipeline.evaluation.gate_rules import PromotionError
from pipeline.evaluation.plots import SHOWN_CLASSIFIERS, draw_accuracies
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, fit_classifier
from pipeline.training.classifier_report import describe_classifier, draw_mistakes
from pipeline.training.end_to_end_graph import add_graph
from pipeline.training.fitting import ClassifierParams
from pipeline.training.heads import HeadName, Normalization
from pipeline.training.training_set import list_training_set
from resources.instance.pages import show_images, show_report
from resources.models.store import ModelStore
from resources.spark.progress import log_progress
from resources.spark.session import POOL


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
    promised_precision: float = Field(
        default=0.95, gt=0, lt=1, description="Share of the answers given that shall be right; the others go to review."
    )
    calibration_folds: int = Field(default=5, ge=2, description="Folds of the cross-fit that calibrates confidence.")


@dg.asset(
    pool=POOL,
    group_name="training",
    kinds={"spark", "mllib"},
    owners=["team:vision"],
    io_manager_key="models",
)
def classifier_candidate(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    training_features: DataFrame,
    training_images: StoredRows,
    backbone: Backbone,
) -> dg.Output[Classifier]:
    """Fitted MLlib pipeline with its evaluation on the holdout; it answers nothing until it is promoted.

    The same pictures, labels, backbone and parameters give the same version, so that a repeated training makes nothing
    stale. Backbone and head lie beside it in one ONNX file, classifier.onnx, where the head allows it, and the names
    of the files that it was made from in training_set.parquet.
    """
    params = ClassifierParams(**config.model_dump())
    fitted = add_graph(fit_classifier(training_features, params, log_progress(context, "fits")), backbone)
    fitted = replace(fitted, training_set=list_training_set(training_features, training_images))
    mistakes = Report(images=draw_mistakes(fitted, training_images.frame))
    return _output(context, fitted, mistakes)


class PromotionConfig(dg.Config):
    """Which classifier one launch promotes."""

    version: str = Field(
        default="",
        description="Of a former classifier to go back to, without any training, or `previous`; empty: the candidate.",
    )


@dg.asset(pool=POOL, group_name="training", kinds={"mllib"}, owners=["team:vision"], io_manager_key="models")
def classifier(
    context: dg.AssetExecutionContext,
    config: PromotionConfig,
    classifier_candidate: Classifier,
    model_store: ModelStore,
) -> dg.Output[Classifier]:
    """Promoted classifier, the one that answers every day.

    Only a candidate that passed all blocking checks gets here; otherwise the former one stays. To go back to a former
    one, materialize this alone with its `version`.
    """
    if config.version:
        promoted = _go_back(config.version, model_store)
    else:
        _check_promotable(classifier_candidate, model_store)
        promoted = classifier_candidate
    return _output(context, promoted, _tell_versions(promoted.version, model_store))


def _check_promotable(candidate: Classifier, store: ModelStore) -> None:
    """A launch of `classifier` alone runs no check: what the gate said last is what counts.

    Raises:
        PromotionError: where the gate refused the candidate, or never held it against the classifier in use.
    """
    present = next(iter(store.list_versions("classifier")), None)
    if candidate.version == present:
        return
    verdict = store.read_note(VERDICTS, candidate.version)
    if verdict is None or verdict["against"] != present:
        raise PromotionError(
            f"the candidate {candidate.version} was never held against the classifier in use:"
            " materialize classifier_candidate together with its checks first (dg launch --job training)"
        )
    if verdict["refusals"]:
        told = "; ".join(f"{name}: {why}" for name, why in verdict["refusals"].items())
        raise PromotionError(f"the candidate {candidate.version} was refused: {told}")


def _go_back(version: str, store: ModelStore) -> Classifier:
    """Opens a former classifier, and withdraws the present one, so that no retraining brings it back.

    Raises:
        PromotionError: where it never was in use.
    """
    present, *former = store.list_versions("classifier") or [""]
    wanted = former[0] if version == "previous" and former else version
    if wanted not in [present, *former]:
        known = ", ".join(former) or "there is none"
        raise PromotionError(f"{version!r} never was the classifier of this lake; former ones, the last first: {known}")
    if wanted != present:
        store.write_note(WITHDRAWN, present, {"for": wanted})
    return store.open_classifier(wanted)


def _tell_versions(promoted: str, store: ModelStore) -> Report:
    """The versions to which one can go back, and how good they were."""
    former = [version for version in store.list_versions("classifier") if version != promoted]
    read = ((version, store.read_evaluation(version)) for version in [promoted, *former[: SHOWN_CLASSIFIERS - 1]])
    reports = [(version, report) for version, report in read if report]
    rows = [[version, f"{report['accuracy']:.3f}"] for version, report in reports if version != promoted][:10]
    if not rows:
        return Report()
    return Report(
        tables={"former_versions": markdown_table(["version", "accuracy then"], rows)},
        images={"accuracy_over_trainings": draw_accuracies(reports[::-1])},
    )


def _output(context: dg.AssetExecutionContext, fitted: Classifier, more: Report) -> dg.Output[Classifier]:
    report = describe_classifier(fitted)
    pictures = Report(images={**report.images, **more.images})
    folder = [context.run.run_id, context.asset_key.path[-1]]
    metadata = show_report(report) | show_report(more) | show_images(pictures, context.instance, folder)
    return dg.Output(fitted, data_version=dg.DataVersion(fitted.version), metadata=metadata)
