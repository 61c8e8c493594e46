"""Daily partitions: their definition, the days of a run, and the declaration that all assets with days share."""

from datetime import date
from functools import partial

import dagster as dg

from resources.settings import Settings
from resources.spark.session import POOL


def days_since(start: date, time_zone: str = "UTC") -> dg.DailyPartitionsDefinition:
    """Makes one partition per day, from the start to today in the time zone."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone=time_zone)


def list_days(context: dg.AssetCheckExecutionContext) -> list[str]:
    """Lists the days of the run; none if the check runs on its own."""
    has_days = context.has_partition_key or context.has_partition_key_range
    return list(context.partition_keys) if has_days else []


daily_asset = partial(
    dg.asset,
    partitions_def=days_since(Settings.model_fields["start_day"].default),  # `assets.daily.build` sets the real one
    pool=POOL,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="daily",
    owners=["team:vision"],
)
"""Declares an asset with days. Many days are one run: a Spark session costs more than a day."""
