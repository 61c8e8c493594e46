"""The group `daily`: assets with days, their job and schedules, and the sensors for late files and missing days."""

import sys
from datetime import timedelta
from typing import Final, cast
from zoneinfo import ZoneInfo

import dagster as dg

from assets.daily.partitions import days_since
from resources.settings import Settings

JUDGED_BY_THE_CLOCK: Final = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("predictions"), "every_due_day_has_predictions")
)
"""A check that does not concern the days of a run."""

daily = dg.define_asset_job(
    "daily",
    dg.AssetSelection.groups("daily") - JUDGED_BY_THE_CLOCK,
    description="Predicts one day, or many at once.",
)


def make_every_morning(time_zone: str) -> dg.ScheduleDefinition:
    """Makes the schedule in a time zone."""

    @dg.schedule(job=daily, cron_schedule="15 4 * * *", execution_timezone=time_zone)
    def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Predicts yesterday's images at 04:15."""
        today = context.scheduled_execution_time.astimezone(ZoneInfo(time_zone)).date()
        yesterday = (today - timedelta(days=1)).isoformat()
        return dg.RunRequest(run_key=yesterday, partition_key=yesterday)

    return every_morning


def build(settings: Settings) -> dg.Definitions:
    """Collects the assets and checks of this package, with the days that the settings name."""
    from assets.daily.late_files import late_files
    from assets.daily.missing_day import make_missing_day
    from assets.daily.open_day import make_through_the_day

    package, days = sys.modules[__name__], days_since(settings.start_day, settings.time_zone)
    assets = cast("list[dg.AssetsDefinition]", dg.load_assets_from_package_module(package))
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=days), assets),
        asset_checks=dg.load_asset_checks_from_package_module(package),
        jobs=[daily],
        schedules=[make_every_morning(settings.time_zone), make_through_the_day(settings)],
        sensors=[late_files, make_missing_day(settings)],
    )
