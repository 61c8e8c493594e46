"""Housekeeping: what nobody needs any more is removed, from the lake and from Dagster's own memory.

It starts no Spark, and so waits for no run that does.
"""

import dagster as dg

from resources.instance.run_history import forget_runs
from resources.lake.lake import Lake
from resources.retention import Retention


@dg.op
def empty_old_pictures(context: dg.OpExecutionContext, lake: Lake, retention: Retention) -> None:
    """Lets go the bytes of pictures after DAYLIGHT_KEEP_PICTURES_DAYS; rows, features and predictions stay."""
    before = retention.pictures_before
    days = lake.empty_days(before) if before else []
    context.add_output_metadata({"days": len(days), "which": ", ".join(days)})


@dg.op
def collect_leftovers(context: dg.OpExecutionContext, lake: Lake) -> None:
    """Removes files that no table refers to any more, and drafts of models, a week after they were written."""
    collected = lake.collect_leftovers()
    for table, count in collected.items():
        context.log.info(f"{table}: {count} files removed")
    context.add_output_metadata({"files": sum(collected.values()), **collected})


@dg.op
def forget_old_runs(context: dg.OpExecutionContext, retention: Retention) -> None:
    """Forgets runs after DAYLIGHT_KEEP_RUNS_DAYS, but for those in which an asset or a day was last made."""
    before = retention.runs_before
    context.add_output_metadata({"runs": forget_runs(context.instance, before) if before else 0})


@dg.job
def housekeeping() -> None:
    """Frees the disk of leftovers, which readers keep for a week, and of what is older than the settings say."""
    empty_old_pictures()
    collect_leftovers()
    forget_old_runs()


@dg.schedule(job=housekeeping, cron_schedule="15 5 * * 0", execution_timezone="UTC")
def every_sunday() -> dg.RunRequest:
    """Collects leftovers on Sundays at 05:15 UTC."""
    return dg.RunRequest()
