"""The asset `difficulty`: how hard a day is for the classifier, and the threshold that follows."""

import dagster as dg

from assets.daily.partitions import daily_asset
from pipeline.daily.difficulty import POOLED_DAYS, describe_difficulty, store_difficulties
from pipeline.reports.report import Table
from pipeline.training.classifier import Classifier
from resources.models.difficulties import Difficulties
from resources.spark.session import SparkResource

POOLED: dg.PartitionMapping = dg.TimeWindowPartitionMapping(
    start_offset=1 - POOLED_DAYS, allow_nonexistent_upstream_partitions=True
)
"""A small day is estimated together with the days before it."""


@daily_asset(kinds={"spark", "deltalake"}, deps=[dg.AssetDep("image_features", partition_mapping=POOLED)])
def difficulty(
    context: dg.AssetExecutionContext, classifier: Classifier, difficulties: Difficulties, spark: SparkResource
) -> Table:
    """How hard the day is: the estimated accuracy, and the threshold at which the answers keep the target precision.

    Found by the confidence of the classifier, without labels of the day.
    """
    found = difficulties.estimate(context.partition_keys, classifier)
    return Table(store_difficulties(spark.spark_session, found), describe_difficulty)
