"""Predictions of each day, and the checks that no file is lost and few are rejected."""

from collections.abc import Callable
from datetime import date
from functools import partial

import dagster as dg

from assets.daily.partitions import daily_asset, list_days
from assets.declarations import declare_check
from pipeline.daily.earlier_images import EARLIER_DAYS, find_earlier_images, list_earlier
from pipeline.daily.label_history import describe_history
from pipeline.daily.predictions import predict_images
from pipeline.daily.predictions_page import describe_predictions
from pipeline.daily.rejected_files import describe_rejected
from pipeline.daily.row_conservation import DayOutcome, count_outcomes, outcome_table
from pipeline.images.features import SCHEMA as FEATURES_SCHEMA
from pipeline.reports.report import Table, describe_all
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier
from resources.instance.passes import name_bad_days
from resources.lake.lake import Lake
from resources.models.difficulties import Difficulties
from resources.settings import Settings
from resources.spark.session import POOL, SparkResource

EARLIER: dg.PartitionMapping = dg.TimeWindowPartitionMapping(
    start_offset=-EARLIER_DAYS, allow_nonexistent_upstream_partitions=True
)
"""Images are compared with those of earlier days, which may have been sent in another encoding."""


@daily_asset(
    kinds={"spark", "deltalake"}, deps=["difficulty", dg.AssetDep("image_features", partition_mapping=EARLIER)]
)
def predictions(
    context: dg.AssetExecutionContext,
    images: StoredRows,
    classifier: Classifier,
    difficulties: Difficulties,
    lake: Lake,
    spark: SparkResource,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """One row per file of the day: predicted label, confidence, decision, classifier and backbone.

    Files that cannot be decoded are rejected with a reason. How hard the day is decides which confidence is enough for
    an answer. Images that resemble each other more than the training set, or have a quality flag that it hardly has
    (DAYLIGHT_REVIEW_FLAGS), go to review. An image that was sent before in another encoding or size names the first.
    """
    session, wanted = spark.spark_session, [date.fromisoformat(day) for day in context.partition_keys]
    features = lake.read(session, "image_features", context.partition_keys)
    compared = list(map(str, list_earlier(wanted)))
    stored = lake.read_known(session, "image_features", parse_schema(FEATURES_SCHEMA), compared)
    found = difficulties.find(context.partition_keys, classifier)
    history = describe_history(partial(lake.count_by_day, "predictions", "predicted_label"))
    describe = describe_all(describe_predictions(images, settings.limits), describe_rejected, history)
    clustered = difficulties.find_clustered(found, classifier)
    earlier = find_earlier_images(stored, wanted)
    rows = predict_images(images, features, classifier, found, clustered, settings.top_labels, earlier)
    return Table(rows, describe)


@declare_check(pool=POOL, asset="predictions", blocking=True)
def every_file_has_a_prediction_or_a_reason(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """The number of files equals predictions plus rejections plus sidecar files on every day of the run."""
    return _judge(
        _count_outcomes(context, lake, spark), lambda each: each.is_conserved, "lost or duplicated files", _count_rows
    )


@declare_check(pool=POOL, asset="predictions", blocking=True)
def rejected_files_are_few(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The share of rejected files is at most DAYLIGHT_MAX_REJECTED_SHARE on every day of the run.

    Sidecar files of operating systems do not count.
    """
    quota = settings.max_rejected_share
    fault = f"more than {quota:.1%} rejected files (DAYLIGHT_MAX_REJECTED_SHARE)"
    return _judge(
        _count_outcomes(context, lake, spark), lambda each: each.rejected_share <= quota, fault, _count_rejected
    )


def _count_outcomes(context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource) -> list[DayOutcome]:
    """Counts the days of the run, or all predicted days if the check runs on its own."""
    days = list_days(context) or lake.list_days("predictions")
    images, predicted = (lake.read(spark.spark_session, table, days) for table in ("images", "predictions"))
    return count_outcomes(images, predicted, [date.fromisoformat(day) for day in days])


def _judge(
    outcomes: list[DayOutcome], is_good: Callable[[DayOutcome], bool], fault: str, count: Callable[[DayOutcome], str]
) -> dg.AssetCheckResult:
    bad = [each for each in outcomes if not is_good(each)]
    days = ", ".join(f"{each.day} ({count(each)})" for each in bad)
    return dg.AssetCheckResult(
        passed=not bad,
        description=f"{fault}: {days}" if bad else f"{len(outcomes)} days",
        metadata={
            "days": dg.MetadataValue.md(outcome_table(bad or outcomes[-10:])),
            **(name_bad_days(str(each.day) for each in bad) if bad else {}),
        },
    )


def _count_rejected(outcome: DayOutcome) -> str:
    return f"{outcome.rejected_count} of {outcome.photo_count} rejected"


def _count_rows(outcome: DayOutcome) -> str:
    rows = outcome.predicted_count + outcome.rejected_count + outcome.sidecar_count
    return f"{outcome.file_count} files, {rows} rows"
