"""Daily partitions: their definition, the days of a run, and the declaration that all assets with days share."""

from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import dagster as dg

from assets.declarations import declare_asset
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.spark.session import POOL

NEWEST_DAYS: Final = 30  # judged by a check that runs on its own


def days_since(start: date, time_zone: str = "UTC") -> dg.DailyPartitionsDefinition:
    """Makes one partition per day, from the start to today in the time zone."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone=time_zone)


def list_days(context: dg.AssetCheckExecutionContext) -> list[str]:
    """Lists the days of the run; none if the check runs on its own."""
    has_days = context.has_partition_key or context.has_partition_key_range
    return list(context.partition_keys) if has_days else []


def list_judged(context: dg.AssetCheckExecutionContext, lake: Lake, table: str) -> list[str]:
    """Lists the days that a check judges: those of the run, or the newest of the table if it runs on its own."""
    return list_days(context) or lake.list_days(table)[-NEWEST_DAYS:]


def find_open(context: dg.AssetExecutionContext, settings: Settings) -> str | None:
    """The only day of a run, if it goes on; its tables are extended by what is new."""
    days = context.partition_keys
    is_open = len(days) == 1 and not settings.due_days.is_over(date.fromisoformat(days[0]), datetime.now(UTC))
    return days[0] if is_open else None


daily_asset = partial(
    declare_asset,
    partitions_def=lambda question: days_since(question.settings.start_day, question.settings.time_zone),
    pool=POOL,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="daily",
)
"""Declares an asset with days. Many days are one run: a Spark session costs more than a day."""
