"""The asset `classifier`: the promoted classifier, which predicts every day."""

import dagster as dg
from pydantic import Field

from assets.declarations import training_asset
from assets.training.candidate import show_classifier
from pipeline.evaluation.plots import SHOWN_CLASSIFIERS
from pipeline.training.classifier import Classifier
from pipeline.training.classifier_report import describe_former
from resources.models.registry import ClassifierRegistry


class PromotionConfig(dg.Config):
    """Settings of one promotion."""

    version: str = Field(
        default="", description="Former classifier to roll back to, or `previous`; empty promotes the candidate."
    )


@training_asset(kinds={"spark", "mllib"}, io_manager_key="models")
def classifier(
    context: dg.AssetExecutionContext,
    config: PromotionConfig,
    classifier_candidate: Classifier,
    classifiers: ClassifierRegistry,
) -> dg.Output[Classifier]:
    """Promoted classifier, which predicts every day.

    A candidate that fails a blocking check is not promoted: the former classifier stays. To roll back, materialize this
    asset alone with the `version` of a former classifier.
    """
    if config.version:
        promoted = classifiers.roll_back(config.version)
    else:
        classifiers.check_promotable(classifier_candidate.version)
        promoted = classifier_candidate
    evaluations = classifiers.list_evaluations(promoted.version, SHOWN_CLASSIFIERS)
    return show_classifier(context, promoted, describe_former(promoted.version, evaluations))
