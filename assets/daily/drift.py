"""How far a day differs from what the classifier learned from, as a table; two checks read it and only warn."""

import dagster as dg
import pyarrow as pa

from assets.daily.partitions import daily_asset, list_judged
from assets.declarations import declare_check
from pipeline.daily.difficulty_table import read_difficulties
from pipeline.drift.comparison import (
    IMAGES,
    LABELS,
    WEEK,
    describe_check,
    describe_drift,
    read_comparisons,
    store_comparisons,
)
from pipeline.drift.label_shift import compare_labels
from pipeline.reports.report import Table
from pipeline.storage.stored_rows import StoredRows
from resources.instance.pages import show_report
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.session import POOL, SparkResource


@daily_asset(kinds={"spark", "deltalake"})
def drift(
    context: dg.AssetExecutionContext,
    difficulty: pa.Table,
    predictions: StoredRows,
    images: StoredRows,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Comparison of the day with the training set: its images by embedding, and the shares of its predicted labels.

    The images were compared for `difficulty`, before the predictions. A day that is too small, or a lake without a
    training set, has rows with the reason and no p-value.
    """
    comparisons = [
        *(comparison for each in read_difficulties(difficulty) for comparison in each.comparisons),
        *compare_labels(context.partition_keys, predictions, model_store.read_evaluation),
    ]
    return Table(store_comparisons(comparisons), describe_drift(images, predictions, settings.limits))


@declare_check(pool=POOL, asset="drift")
def images_resemble_the_training_set(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Embeddings of every day of the run, and of the week that ends with it, are distributed as in the train split.

    Permutation tests that raise at most 0.75 % false alarms a day. Run by itself, it covers the newest 30 days.
    """
    return _judge(context, lake, spark, IMAGES, WEEK)


@declare_check(pool=POOL, asset="drift")
def labels_are_distributed_as_on_the_holdout(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Predicted labels of every day of the run have the shares that the same classifier gave them on the holdout.

    A permutation test that raises 0.25 % false alarms a day, and at least a tenth of the predictions must have moved.
    A shift may be news of the business and no fault of the classifier. Run by itself, it covers the newest 30 days.
    """
    return _judge(context, lake, spark, LABELS)


def _judge(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, *comparisons: str
) -> dg.AssetCheckResult:
    days = list_judged(context, lake, "drift")
    stored = read_comparisons(lake.read(spark.spark_session, "drift", days).read_small()) if days else []
    found = [each for each in stored if each.comparison in comparisons]
    alarms = [f"{each.day} {each.message}" for each in found if each.is_alarm]
    calm = [f"{each.day} {each.message}" for each in found] if len(found) == 1 else [f"{len(found)} days"]
    return dg.AssetCheckResult(
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(alarms or calm),
        metadata=show_report(describe_check(found)),
    )
