"""Housekeeping: removes old data from the lake and from Dagster's history. It starts no Spark, so it needs no pool."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from resources.instance.run_history import delete_runs
from resources.lake.lake import Lake
from resources.lake.orphans import remove_orphans
from resources.lake.purge import purge_days
from resources.settings import Settings


@dg.op
def purge_old_images(context: dg.OpExecutionContext, lake: Lake, settings: dg.ResourceParam[Settings]) -> None:
    """Purges image bytes older than DAYLIGHT_KEEP_IMAGES_DAYS; rows, features and predictions stay."""
    kept = settings.keep_images_days
    days = purge_days(lake, days_ago(kept).date().isoformat()) if kept else []
    context.add_output_metadata({"count": len(days), "days": ", ".join(days)})


@dg.op
def collect_orphans(context: dg.OpExecutionContext, lake: Lake) -> None:
    """Removes orphaned files of tables, and drafts of models, a week after they were written."""
    collected = remove_orphans(lake)
    for table, count in collected.items():
        context.log.info(f"{table}: {count} files removed")
    context.add_output_metadata({"files": sum(collected.values()), **collected})


@dg.op
def delete_old_runs(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Deletes runs older than DAYLIGHT_KEEP_RUNS_DAYS, except the latest run of each asset and day."""
    kept = settings.keep_runs_days
    context.add_output_metadata({"runs": delete_runs(context.instance, days_ago(kept)) if kept else 0})


@dg.job
def housekeeping() -> None:
    """Frees disk space: orphaned files after a week, image bytes and runs as the settings allow."""
    purge_old_images()
    collect_orphans()
    delete_old_runs()


@dg.schedule(job=housekeeping, cron_schedule="15 5 * * 0", execution_timezone="UTC")
def every_sunday() -> dg.RunRequest:
    """Runs housekeeping on Sundays at 05:15 UTC."""
    return dg.RunRequest()


def build() -> dg.Definitions:
    """Collects the job and its schedule."""
    return dg.Definitions(jobs=[housekeeping], schedules=[every_sunday])


def days_ago(days: int) -> datetime:
    """Returns the moment that many days before now."""
    return datetime.now(UTC) - timedelta(days=days)
