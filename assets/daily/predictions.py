"""Every day's answers, and whether all files have one."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Final

import dagster as dg
from pyspark.sql import DataFrame

from assets.partitions import daily_asset
from pipeline.daily.label_history import describe_history
from pipeline.daily.predictions import describe_predictions, predict_images
from pipeline.daily.rejected_files import describe_rejected
from pipeline.daily.row_conservation import DayCount, count_days, count_table
from pipeline.reports.report import Table, describe_all
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.spark.session import POOL, SparkResource

FRESH: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=30))
"""A morning's run may be late by six hours; a day that nobody answered is a fault."""


@daily_asset(kinds={"spark", "deltalake"}, freshness_policy=FRESH)
def predictions(images: DataFrame, image_features: DataFrame, classifier: Classifier, lake: Lake) -> Table:
    """Answers of the day, one row per file: label, confidence, decision, and which models said so.

    Files that cannot be decoded are rows too, rejected with their reason.
    """
    history = describe_history(partial(lake.count_by_day, "predictions", "predicted_label"))
    return Table(
        predict_images(images, image_features, classifier),
        describe_all(describe_predictions(images), describe_rejected, history),
    )


@dg.asset_check(pool=POOL, asset="predictions", blocking=True)
def every_file_has_an_answer_or_a_reason(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Files that arrived are as many as answers and rejections, on every day of the run."""
    return _judge(_count_days(context, lake, spark), lambda count: count.is_whole, "lost or doubled files")


@dg.asset_check(pool=POOL, asset="predictions", blocking=True)
def rejected_files_are_few(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Share of rejected files is at most DAYLIGHT_MAX_REJECTED_SHARE, on every day of the run."""
    quota = settings.max_rejected_share
    fault = f"more than {quota:.1%} rejected files (DAYLIGHT_MAX_REJECTED_SHARE)"
    return _judge(_count_days(context, lake, spark), lambda count: count.rejected_share <= quota, fault)


def _count_days(context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource) -> list[DayCount]:
    """Of the days of the run; of all that were ever predicted, where the check is run by itself."""
    has_days = context.has_partition_key or context.has_partition_key_range
    days = list(context.partition_keys) if has_days else lake.list_days("predictions")
    images, answers = (lake.read(spark.spark_session, table, days) for table in ("images", "predictions"))
    return count_days(images, answers, [date.fromisoformat(day) for day in days])


def _judge(counts: list[DayCount], is_good: Callable[[DayCount], bool], fault: str) -> dg.AssetCheckResult:
    bad = [count for count in counts if not is_good(count)]
    days = ", ".join(f"{count.day} ({count.rejected_count} of {count.file_count} rejected)" for count in bad)
    return dg.AssetCheckResult(
        passed=not bad,
        description=f"{fault}: {days}" if bad else f"{len(counts)} days",
        metadata={"days": dg.MetadataValue.md(count_table(bad or counts[-10:]))},
    )
