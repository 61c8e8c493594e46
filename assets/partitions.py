"""Days: the partitions of every daily asset, from DAYLIGHT_START_DAY to today."""

from functools import partial

import dagster as dg

from resources.settings import read_settings
from resources.spark.session import POOL

days = dg.DailyPartitionsDefinition(start_date=read_settings().start_day.isoformat(), end_offset=1)

daily_asset = partial(
    dg.asset,
    partitions_def=days,
    pool=POOL,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="daily",
    owners=["team:vision"],
)
"""Declares an asset with days. Many days are one run: a Spark session costs more than a day."""
