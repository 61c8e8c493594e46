"""The asset `label_issues`: labels that are probably wrong."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.declarations import training_asset
from pipeline.evaluation.calibration import soften_predictions
from pipeline.evaluation.label_issues import describe_label_issues, rank_labels
from pipeline.images.split import join_split
from pipeline.reports.report import Table, describe_whole
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, predict_holdout
from resources.models.store import ModelStore
from resources.settings import Settings


@training_asset(kinds={"spark", "deltalake"})
def label_issues(
    training_images: StoredRows,
    near_duplicates: DataFrame,
    training_features: DataFrame,
    training_split: DataFrame,
    classifier_candidate: Classifier,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Labelled files ranked by how probably their label is wrong, worst first.

    Uses predictions of classifiers that were not trained on the labels in question: those of the cross-fit for the
    train split, the candidate for the holdout.
    """
    predictions = [predict_holdout(join_split(training_features, training_split), classifier_candidate)]
    for easiest in model_store.read_cross_fits(classifier_candidate.version)[:1]:
        predictions.append(soften_predictions(easiest, classifier_candidate.calibration.temperature))
    ranked = rank_labels(training_images.frame, near_duplicates, [each.by_set for each in predictions])
    return Table(ranked, describe_whole(describe_label_issues(training_images, settings.limits)))
