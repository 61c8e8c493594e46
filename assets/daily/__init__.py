"""The group `daily`: assets with days, their job and schedule, and the sensor for late files."""

import sys
from datetime import timedelta
from typing import cast

import dagster as dg

from assets.daily.partitions import days_since
from resources.settings import Settings

daily = dg.define_asset_job(
    "daily", dg.AssetSelection.groups("daily"), description="Predicts one day, or many at once."
)


@dg.schedule(job=daily, cron_schedule="15 4 * * *", execution_timezone="UTC")
def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Predicts yesterday's images at 04:15 UTC."""
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=yesterday, partition_key=yesterday)


def build(settings: Settings) -> dg.Definitions:
    """Collects the assets and checks of this package, with days from `settings.start_day` on."""
    from assets.daily.late_files import late_files

    package, days = sys.modules[__name__], days_since(settings.start_day)
    assets = cast("list[dg.AssetsDefinition]", dg.load_assets_from_package_module(package))
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=days), assets),
        asset_checks=dg.load_asset_checks_from_package_module(package),
        jobs=[daily],
        schedules=[every_morning],
        sensors=[late_files],
    )
