"""The asset `difficulty`: how hard a day is for the classifier, and the threshold that follows."""

import dagster as dg

from assets.daily.partitions import daily_asset, list_judged
from assets.declarations import declare_check
from pipeline.daily.difficulty import POOLED_DAYS
from pipeline.daily.difficulty_table import describe_difficulty, read_difficulties, store_difficulties
from pipeline.reports.report import Table
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.models.difficulties import Difficulties
from resources.spark.session import POOL, SparkResource

POOLED: dg.PartitionMapping = dg.TimeWindowPartitionMapping(
    start_offset=1 - POOLED_DAYS, allow_nonexistent_upstream_partitions=True
)
"""A small day is estimated together with the days before it, and every day's week is compared with the training set."""


@daily_asset(
    kinds={"spark", "deltalake"},
    deps=[dg.AssetDep("image_features", partition_mapping=POOLED), "training_features", "training_split"],
)
def difficulty(context: dg.AssetExecutionContext, classifier: Classifier, difficulties: Difficulties) -> Table:
    """How hard the day is: the estimated accuracy, and the threshold at which the answers keep the target precision.

    Found by the confidence of the classifier, without labels of the day. Images that resemble each other more than the
    training set, as those of an unseen class do, are not answered.
    """
    found = difficulties.estimate(context.partition_keys, classifier)
    return Table(store_difficulties(found), describe_difficulty)


@declare_check(pool=POOL, asset="difficulty")
def days_are_as_easy_as_the_training_set(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Every day of the run is about as easy for the classifier as the images that it learned from; only a warning.

    On a harder day fewer predictions are answered. Run by itself, it covers the newest 30 days.
    """
    days = list_judged(context, lake, "difficulty")
    found = read_difficulties(lake.read(spark.spark_session, "difficulty", days).read_small()) if days else []
    hard = [f"{each.day}: {each.summary}" for each in found if each.is_hard]
    return dg.AssetCheckResult(
        passed=not hard,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(hard) or f"{len(found)} days",
    )
