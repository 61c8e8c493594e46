"""The gate between a candidate and the current classifier: one check per rule, all on the same predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from assets.declarations import declare_checks
from pipeline.embed.batch_size import read_batch_costs
from pipeline.evaluation.gate_rules import (
    Candidate,
    Verdict,
    judge_accuracy,
    judge_calibration,
    judge_classes,
    judge_costs,
    judge_holdout,
    judge_improvement,
    judge_vanished,
    judge_withdrawal,
)
from pipeline.images.split import join_split
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, predict_holdout
from resources.instance.pages import show_numbers
from resources.lake.feature_cache import FeatureCache
from resources.models.registry import ClassifierRegistry
from resources.models.store import ModelError, ModelStore
from resources.settings import Settings
from resources.spark.session import POOL

RULES: Final = {
    "candidate_reaches_the_accuracy_floor": "Accuracy on the holdout is at least DAYLIGHT_ACCURACY_FLOOR.",
    "candidate_is_judged_on_the_same_holdout": "Most of the current classifier's holdout is there, unchanged.",
    "candidate_is_better_than_the_classifier": "It beats the current classifier by more than chance.",
    "candidate_finds_every_class": "Recall of every class reaches DAYLIGHT_RECALL_FLOOR, and none fell.",
    "candidate_keeps_every_class": "It can predict every label of the holdout and of the current classifier.",
    "candidate_is_calibrated": "Calibration error is at most DAYLIGHT_MAX_CALIBRATION_ERROR, or what chance explains.",
    "candidate_costs_little_more": "Time and size are within DAYLIGHT_MAX_SLOWDOWN and DAYLIGHT_MAX_GROWTH.",
    "candidate_was_not_withdrawn": "Nobody rolled back from it to a former classifier.",
}


class GateConfig(dg.Config):
    """Exceptions of one launch."""

    retired_labels: list[str] = Field(default_factory=list, description="Labels that need not be predicted any more.")
    accept_equal: bool = Field(
        default=False, description="Promote a candidate that is no worse, as with a faster backbone."
    )
    new_holdout: bool = Field(
        default=False, description="Accept a new holdout: labelled images were replaced on purpose."
    )


@declare_checks(name="gate", asset="classifier_candidate", descriptions=RULES, pool=POOL)
def gate_of_promotion(
    config: GateConfig,
    classifier_candidate: Classifier,
    training_features: DataFrame,
    training_split: DataFrame,
    training_images: StoredRows,
    feature_cache: FeatureCache,
    model_store: ModelStore,
    classifiers: ClassifierRegistry,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.AssetCheckResult]:
    """Compares the candidate with the current classifier on the same holdout."""
    current, theirs = _find_current(model_store), None
    labelled = join_split(training_features, training_split)
    ours = _measure(classifier_candidate, labelled, model_store)
    if current is not None:
        features = _features_for(current, labelled, training_images, feature_cache, model_store)
        theirs = _measure(current, features, model_store)
    former_holdout = current.report.get("holdout_sample", {}) if current and current.version != ours.version else {}
    limits = settings.thresholds
    verdicts = (
        judge_accuracy(ours, limits.accuracy),
        judge_holdout(ours, former_holdout, config.new_holdout),
        judge_improvement(ours, theirs, config.accept_equal),
        judge_classes(ours, theirs, limits.class_recall),
        judge_vanished(ours, theirs, config.retired_labels),
        judge_calibration(ours, theirs, limits.calibration_error),
        judge_costs(ours, theirs, limits.slowdown, limits.growth),
        judge_withdrawal(ours, classifiers.is_withdrawn(ours.version)),
    )
    by_rule = dict(zip(RULES, verdicts, strict=True))
    refusals = {name: verdict.message for name, verdict in by_rule.items() if verdict.refuses}
    classifiers.record_verdict(ours.version, refusals)
    yield from (_show(name, verdict) for name, verdict in by_rule.items())


def _find_current(store: ModelStore) -> Classifier | None:
    """Loads the current classifier; None if it cannot be read, because then no day can be predicted without another."""
    try:
        return store.find_classifier("classifier")
    except ModelError as error:
        dg.get_dagster_logger().warning(f"the candidate is judged without the current classifier: {error}")
        return None


def _measure(classifier: Classifier, features: DataFrame, store: ModelStore) -> Candidate:
    backbone = store.open_backbone(classifier.backbone)
    costs = read_batch_costs(Path(backbone.path))
    seconds = costs.cpu_milliseconds[costs.batch_size] / 1000 if costs else None
    predictions, train_count = predict_holdout(features, classifier), classifier.report.get("train_count")
    return Candidate(classifier.version, predictions, backbone.megabytes, seconds, train_count)


def _features_for(
    classifier: Classifier, features: DataFrame, images: StoredRows, cache: FeatureCache, store: ModelStore
) -> DataFrame:
    """Embeds the images with the backbone of this classifier, mostly from the cache; keeps labels and splits."""
    if features.where(features["backbone"] != classifier.backbone).isEmpty():
        return features
    backbone = store.open_backbone(classifier.backbone)
    embedded = cache.embed(images, backbone).rows.frame.select("image_id", "features", "backbone")
    return features.select("image_id", "label", "split").join(embedded, "image_id")


def _show(name: str, verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN if verdict.is_tolerated else dg.AssetCheckSeverity.ERROR,
        description=verdict.message if verdict.passed else f"{verdict.message}. Required: {RULES[name]}",
        metadata=show_numbers(verdict.numbers),
    )
