"""Housekeeping: what killed runs and replaced days left in the lake is removed, once nobody can need it."""

import dagster as dg

from resources.lake import Lake


@dg.op
def collect_leftovers(context: dg.OpExecutionContext, lake: Lake) -> None:
    """Removes files that no table refers to any more, and drafts of models, a week after they were written."""
    collected = lake.collect_leftovers()
    for table, count in collected.items():
        context.log.info(f"{table}: {count} files removed")
    context.add_output_metadata({"files": sum(collected.values()), **collected})


@dg.job
def housekeeping() -> None:
    """Frees the disk of what killed runs and replaced days left behind; the last week is kept for readers."""
    collect_leftovers()


@dg.schedule(job=housekeeping, cron_schedule="15 5 * * 0", execution_timezone="UTC")
def every_sunday() -> dg.RunRequest:
    """Collects leftovers on Sundays at 05:15 UTC."""
    return dg.RunRequest()
