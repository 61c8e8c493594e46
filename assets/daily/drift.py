"""How far a day differs from what the classifier learned from, as a table; two checks read it and only warn."""

from typing import Final

import dagster as dg
from pyspark.sql import DataFrame

from assets.daily.partitions import daily_asset, list_days
from pipeline.drift.comparison import (
    IMAGES,
    LABELS,
    describe_check,
    describe_drift,
    read_comparisons,
    store_comparisons,
)
from pipeline.drift.image_drift import compare_images, read_reference
from pipeline.drift.label_shift import compare_labels
from pipeline.images.features import TRAINING_SCHEMA
from pipeline.images.split import SCHEMA as SPLIT_SCHEMA
from pipeline.images.split import join_split
from pipeline.reports.report import Table
from pipeline.storage.schema import parse_schema
from resources.instance.pages import show_report
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.session import POOL, SparkResource

NEWEST_DAYS: Final = 30


@daily_asset(kinds={"spark", "deltalake"}, deps=["training_features", "training_split"])
def drift(
    context: dg.AssetExecutionContext,
    predictions: DataFrame,
    image_features: DataFrame,
    images: DataFrame,
    lake: Lake,
    spark: SparkResource,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Comparison of the day with the training set: its images by embedding, and the shares of its predicted labels.

    A day that is too small, or a lake without a training set, has rows with the reason and no p-value.
    """
    session, days = spark.spark_session, context.partition_keys
    schemas = {"training_features": TRAINING_SCHEMA, "training_split": SPLIT_SCHEMA}
    tables = (lake.read_known(session, name, parse_schema(ddl), None).frame for name, ddl in schemas.items())
    comparisons = [
        *compare_images(days, image_features, read_reference(join_split(*tables))),
        *compare_labels(days, predictions, model_store.read_evaluation),
    ]
    return Table(store_comparisons(session, comparisons), describe_drift(images, predictions, settings.limits))


@dg.asset_check(pool=POOL, asset="drift")
def images_resemble_the_training_set(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Embeddings of every day of the run have the same distribution as those of the train split.

    A permutation test that raises 0.75 % false alarms a day. Run by itself, it covers the newest 30 days.
    """
    return _judge(context, lake, spark, IMAGES)


@dg.asset_check(pool=POOL, asset="drift")
def labels_are_distributed_as_on_the_holdout(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Predicted labels of every day of the run have the shares that the same classifier gave them on the holdout.

    A permutation test that raises 0.25 % false alarms a day, and at least a tenth of the predictions must have moved.
    A shift may be news of the business and no fault of the classifier. Run by itself, it covers the newest 30 days.
    """
    return _judge(context, lake, spark, LABELS)


def _judge(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, comparison: str
) -> dg.AssetCheckResult:
    days = list_days(context) or lake.list_days("drift")[-NEWEST_DAYS:]
    stored = read_comparisons(lake.read(spark.spark_session, "drift", days).frame) if days else []
    found = [each for each in stored if each.comparison == comparison]
    alarms = [f"{each.day} {each.message}" for each in found if each.is_alarm]
    calm = [f"{each.day} {each.message}" for each in found] if len(found) == 1 else [f"{len(found)} days"]
    return dg.AssetCheckResult(
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(alarms or calm),
        metadata=show_report(describe_check(found)),
    )
