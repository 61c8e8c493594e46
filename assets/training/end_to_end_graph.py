"""The check that the file to deploy predicts as the classifier in it."""

from dataclasses import asdict
from typing import Final

import dagster as dg
from pyspark.sql import DataFrame

from assets.declarations import declare_check
from pipeline.embed.backbone import Backbone
from pipeline.images.split import join_split
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier
from pipeline.training.graph.head import refuse_head
from pipeline.training.graph.parity import MAX_DIFFERENCE, GraphParity, measure_graph_parity
from resources.instance.pages import show_numbers
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.session import POOL

RECORDS: Final = "graph_parity"  # folder of the comparisons that passed, by version of the classifier


@declare_check(pool=POOL, asset="classifier_candidate", blocking=True)
def end_to_end_graph_matches_the_classifier(
    classifier_candidate: Classifier,
    backbone: Backbone,
    training_images: StoredRows,
    training_features: DataFrame,
    training_split: DataFrame,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> dg.AssetCheckResult:
    """classifier.onnx predicts the classifier's labels on the whole holdout, and its probabilities within 0.00001.

    If a head cannot be exported exactly, there is no such file; the check passes and gives the reason. A file that
    passed is not compared again: the version of a classifier stands for its holdout.
    """
    if reason := refuse_head(classifier_candidate.model):
        return dg.AssetCheckResult(passed=True, description=f"there is no classifier.onnx: {reason}")
    location = dg.MetadataValue.path(model_store.graph_location(classifier_candidate.version))
    graph = model_store.find_graph(classifier_candidate.version)
    if graph is None:
        description = "there is no classifier.onnx: materialize classifier_candidate again"
        return dg.AssetCheckResult(passed=False, description=description, metadata={"file": location})
    recorded = model_store.read_note(RECORDS, classifier_candidate.version)
    if recorded.get("graph") == graph.digest:
        parity = GraphParity(**recorded["parity"])
    else:
        features = join_split(training_features, training_split)
        parity = measure_graph_parity(graph, classifier_candidate, backbone, training_images, features, settings.limits)
        if parity.holds:
            record = {"graph": graph.digest, "parity": asdict(parity)}
            model_store.write_note(RECORDS, classifier_candidate.version, record)
    return dg.AssetCheckResult(
        passed=parity.holds,
        description=parity.message,
        metadata={
            "file": location,
            "max_difference": dg.MetadataValue.text(f"{parity.max_difference:.1e}"),
            "allowed_difference": dg.MetadataValue.text(f"{MAX_DIFFERENCE:.0e}"),
            **show_numbers({"megabytes": graph.megabytes, "compared_count": parity.compared_count}),
        },
    )
