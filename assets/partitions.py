"""Days: the partitions of every daily asset, from DAYLIGHT_START_DAY to today."""

import dagster as dg

from resources.settings import read_settings

days = dg.DailyPartitionsDefinition(start_date=read_settings().start_day.isoformat(), end_offset=1)

one_run = dg.BackfillPolicy.single_run()
"""Many days are one run: a Spark session costs more than a day."""
