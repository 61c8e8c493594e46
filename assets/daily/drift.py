"""Whether a day is like what the classifier learned from: its pictures, and the mix of its answers. Both only warn."""

from collections.abc import Sequence

import dagster as dg

from pipeline.drift.image_drift import DayDrift, describe_drift, draw_examples, find_drifts, read_reference
from pipeline.drift.label_shift import compare_mix, count_answers, count_holdout_answers, describe_mix
from pipeline.reports.report import Report
from resources.instance.pages import Metadata, show_images, show_report
from resources.lake.commits import LakeError
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.spark.session import POOL, SparkResource

NEWEST_DAYS = 30


@dg.asset_check(pool=POOL, asset="predictions")
def pictures_are_like_those_trained_on(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource
) -> dg.AssetCheckResult:
    """Embeddings of the day and of the train side could be of one pile, on every day of the run.

    A permutation test with 0.75 % false alarms a day; the pictures that moved a day most are shown. Run by itself, it
    judges the newest 30 days. A day is not judged where it is too small, or the training set is missing.
    """
    session = spark.spark_session
    try:
        reference = read_reference(lake.read(session, "training_features", None).frame)
    except LakeError as error:
        return dg.AssetCheckResult(passed=True, description=f"not compared: {error}")
    days = _list_days(context, lake)
    drifts = list(find_drifts(days, lake.read(session, "image_features", days).frame, reference)) if days else []
    pictures: Metadata = {}
    for drift in drifts:
        if drift.is_alarm:
            pictures |= _show_examples(context, lake, spark, drift)
    alarms = [f"{each.day} {each.told}" for each in drifts if each.is_alarm]
    told = [f"{each.day} {each.told}" for each in drifts] if len(drifts) == 1 else [f"{len(drifts)} days"]
    return _warn(alarms, told, describe_drift(drifts), pictures)


@dg.asset_check(pool=POOL, asset="predictions")
def answers_are_mixed_as_on_the_holdout(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, model_store: ModelStore
) -> dg.AssetCheckResult:
    """Labels answered have the shares that the same classifier gave them on the holdout, on every day of the run.

    A permutation test with 0.25 % false alarms a day, and a tenth of the answers must have moved. Another mix may well
    be news of the business and no fault of the classifier. Run by itself, it judges the newest 30 days.
    """
    days = _list_days(context, lake)
    counted = count_answers(lake.read(spark.spark_session, "predictions", days).frame) if days else {}
    mixes = [
        compare_mix(day, answers, count_holdout_answers(model_store.read_evaluation(version)))
        for (day, version), answers in counted.items()
    ]
    alarms = [f"{each.day} {each.told}" for each in mixes if each.is_alarm]
    told = [f"{each.day} {each.told}" for each in mixes] if len(mixes) == 1 else [f"{len(mixes)} days"]
    return _warn(alarms, told, describe_mix(mixes), {})


def _list_days(context: dg.AssetCheckExecutionContext, lake: Lake) -> Sequence[str]:
    has_days = context.has_partition_key or context.has_partition_key_range
    return list(context.partition_keys) if has_days else lake.list_days("predictions")[-NEWEST_DAYS:]


def _show_examples(
    context: dg.AssetCheckExecutionContext, lake: Lake, spark: SparkResource, drift: DayDrift
) -> Metadata:
    images, predictions = (
        lake.read(spark.spark_session, table, [drift.day]).frame for table in ("images", "predictions")
    )
    report = Report(images={f"examples_{drift.day}": draw_examples(drift, images, predictions)})
    return show_images(report, context.instance, [context.run.run_id, "drift"])


def _warn(alarms: list[str], told: list[str], report: Report, pictures: Metadata) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(alarms or told),
        metadata=show_report(report) | pictures,
    )
