"""The gate between a candidate and the classifier in use: one check for each rule, all told from the same answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.embed.backbone import Backbone
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
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, predict_holdout
from resources.instance.pages import show_numbers
from resources.lake.feature_cache import FeatureCache
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.session import POOL

VERDICTS: Final = "verdicts"
WITHDRAWN: Final = "withdrawn"

RULES: Final = {
    "candidate_reaches_the_accuracy_floor": "Accuracy on the holdout is at least DAYLIGHT_ACCURACY_FLOOR.",
    "candidate_is_judged_on_the_same_holdout": "Most of the holdout of the classifier in use is there, as it was.",
    "candidate_is_better_than_the_classifier": "Right more often on the same holdout than what is in use, not by luck.",
    "candidate_finds_every_class": "Recall of every class reaches DAYLIGHT_RECALL_FLOOR, and none fell.",
    "candidate_keeps_every_class": "It can answer every label of the holdout and of the classifier in use.",
    "candidate_is_calibrated": "Calibration error is at most DAYLIGHT_MAX_CALIBRATION_ERROR, or what chance gives.",
    "candidate_costs_little_more": "Time and size are within DAYLIGHT_MAX_SLOWDOWN and DAYLIGHT_MAX_GROWTH.",
    "candidate_was_not_withdrawn": "Nobody went back from it to a former classifier.",
}


class GateConfig(dg.Config):
    """What one launch lets pass."""

    retired_labels: list[str] = Field(default_factory=list, description="Labels that need no longer be answered.")
    accept_equal: bool = Field(
        default=False, description="Whether not to be worse is enough, as after a change to a faster backbone."
    )
    new_holdout: bool = Field(default=False, description="Whether the labelled pictures were replaced on purpose.")


@dg.multi_asset_check(
    pool=POOL,
    name="gate",
    specs=[
        dg.AssetCheckSpec(
            name,
            asset="classifier_candidate",
            description=description,
            blocking=True,
            additional_deps=["training_features", "training_images"],
        )
        for name, description in RULES.items()
    ],
)
def gate_of_promotion(
    config: GateConfig,
    classifier_candidate: Classifier,
    training_features: DataFrame,
    training_images: StoredRows,
    feature_cache: FeatureCache,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.AssetCheckResult]:
    """Holds the candidate against the classifier in use, on the same holdout."""
    present = model_store.find_classifier("classifier")
    ours = _enter(classifier_candidate, training_features, model_store)
    theirs = None
    if present is not None:
        features = _features_for(present, training_features, training_images, feature_cache, model_store)
        theirs = _enter(present, features, model_store)
    limits = settings.thresholds
    verdicts = (
        judge_accuracy(ours, limits.accuracy),
        judge_holdout(ours, _former_holdout(present, ours.version), config.new_holdout),
        judge_improvement(ours, theirs, config.accept_equal),
        judge_classes(ours, theirs, limits.class_recall),
        judge_vanished(ours, theirs, config.retired_labels),
        judge_calibration(ours, limits.calibration_error),
        judge_costs(ours, theirs, limits.slowdown, limits.growth),
        judge_withdrawal(ours, model_store.read_note(WITHDRAWN, ours.version) is not None),
    )
    told = dict(zip(RULES, verdicts, strict=True))
    refusals = {name: verdict.message for name, verdict in told.items() if not verdict.passed}
    against = present.version if present else None
    model_store.write_note(VERDICTS, ours.version, {"against": against, "refusals": refusals})
    yield from (_show(name, verdict) for name, verdict in told.items())


def _enter(classifier: Classifier, features: DataFrame, store: ModelStore) -> Candidate:
    backbone = store.open_backbone(classifier.backbone)
    costs = read_batch_costs(Path(backbone.path))
    seconds = costs.cpu_milliseconds[costs.batch_size] / 1000 if costs else None
    return Candidate(classifier.version, predict_holdout(features, classifier), backbone.megabytes, seconds)


def _former_holdout(present: Classifier | None, candidate: str) -> dict[str, str]:
    if present is None or present.version == candidate:
        return {}
    return dict(present.report.get("holdout_sample", {}))


def _features_for(
    classifier: Classifier, features: DataFrame, images: StoredRows, cache: FeatureCache, store: ModelStore
) -> DataFrame:
    """The same pictures, labels and sides by the backbone of this classifier, mostly from the cache."""
    if features.where(features["backbone"] != classifier.backbone).isEmpty():
        return features
    backbone: Backbone = store.open_backbone(classifier.backbone)
    embedded = cache.embed(images, backbone).rows.frame.select("image_id", "features", "backbone")
    return features.select("image_id", "label", "split").join(embedded, "image_id")


def _show(name: str, verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key="classifier_candidate",
        check_name=name,
        passed=verdict.passed,
        description=verdict.message if verdict.passed else f"{verdict.message}. Required: {RULES[name]}",
        metadata=show_numbers(verdict.numbers),
    )
