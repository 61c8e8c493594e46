"""Housekeeping: removes old data from the lake and from Dagster's history, and keeps tables quick to read.

It starts no Spark, so it needs no pool; runs may read and write the lake meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

import dagster as dg

from pipeline.reports.markdown import markdown_table
from resources.instance.run_history import delete_runs
from resources.lake.lake import MODELS, Lake
from resources.lake.maintenance import Size, compact_lake, measure_lake, shorten_logs
from resources.lake.orphans import remove_orphans
from resources.lake.purge import purge_days
from resources.settings import Settings

MOMENTS: Final = ("before", "after")


@dg.op
def purge_old_images(context: dg.OpExecutionContext, lake: Lake, settings: dg.ResourceParam[Settings]) -> None:
    """Purges image bytes older than DAYLIGHT_KEEP_IMAGES_DAYS; rows, features and predictions stay."""
    kept = settings.keep_images_days
    days = purge_days(lake, days_ago(kept).date().isoformat()) if kept else []
    context.add_output_metadata({"count": len(days), "days": ", ".join(days)})


@dg.op(ins={"purged": dg.In(dg.Nothing)})
def maintain_tables(context: dg.OpExecutionContext, lake: Lake, questions: dg.ResourceParam[tuple[str, ...]]) -> None:
    """Makes one file of small ones, indexes the feature cache, shortens logs, and removes orphaned files.

    Files that were replaced, and drafts of models, are removed a week later. No row changes. Tables of a further
    classifier whose YAML is gone are named, and stay.

    Raises:
        dg.Failure: if a table could not be compacted; the others are maintained.
    """
    before = measure_lake(lake)
    problems = compact_lake(lake)
    shorten_logs(lake)
    orphans = remove_orphans(lake)
    after = measure_lake(lake)
    report: dict[str, dg.MetadataValue | float] = {
        "sizes": dg.MetadataValue.md(describe_sizes(before, after)),
        "removed_files": sum(orphans.values()),
        "freed_megabytes": (total_bytes(before) - total_bytes(after)) / 1e6,
    }
    if left := [prefix for prefix in lake.list_prefixes() if prefix not in questions]:
        report["left_behind"] = dg.MetadataValue.text(describe_left_behind(lake, left))
        context.log.warning(describe_left_behind(lake, left))
    if problems:
        raise dg.Failure("\n".join(problems), report)
    context.add_output_metadata(report)


@dg.op
def delete_old_runs(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Deletes runs older than DAYLIGHT_KEEP_RUNS_DAYS, except the latest run of each asset and day."""
    kept = settings.keep_runs_days
    context.add_output_metadata({"runs": delete_runs(context.instance, days_ago(kept)) if kept else 0})


@dg.job
def housekeeping() -> None:
    """Maintains the lake: compaction, index, logs, orphaned files after a week; old bytes and runs as settings say."""
    maintain_tables(purge_old_images())
    delete_old_runs()


@dg.schedule(job=housekeeping, cron_schedule="15 5 * * 0", execution_timezone="UTC")
def every_sunday() -> dg.RunRequest:
    """Runs housekeeping on Sundays at 05:15 UTC."""
    return dg.RunRequest()


def build() -> dg.Definitions:
    """Collects the job and its schedule."""
    return dg.Definitions(jobs=[housekeeping], schedules=[every_sunday])


def describe_left_behind(lake: Lake, prefixes: Sequence[str]) -> str:
    """Describes folders of classifiers that no YAML declares any more, with the cure."""
    folders = ", ".join(f"{lake.root}/{each} and {lake.root}/{MODELS}/{each}" for each in prefixes)
    return (
        f"no file in assets/defs declares {', '.join(prefixes)}, so nothing reads {folders}: delete these folders once"
        " nobody needs them, or bring the file back"
    )


def days_ago(days: int) -> datetime:
    """Returns the moment that many days before now."""
    return datetime.now(UTC) - timedelta(days=days)


def describe_sizes(before: Mapping[str, Size], after: Mapping[str, Size]) -> str:
    """Describes each folder of the lake before and after maintenance, as a table in Markdown.

    Replaced files stay for a week, so a table that was compacted is larger until then.
    """
    nothing = Size()
    rows = []
    for name in sorted({*before, *after}):
        sizes = [each.get(name, nothing) for each in (before, after)]
        counts = [(size.used_count, size.file_count, size.log_count, f"{size.bytes / 1e6:,.1f}") for size in sizes]
        rows.append([name, *chain.from_iterable(zip(*counts, strict=True))])
    header = [f"{name} {moment}" for name in ("files in use", "files", "of the log", "MB") for moment in MOMENTS]
    return markdown_table(["folder", *header], rows)


def total_bytes(sizes: Mapping[str, Size]) -> int:
    """Sums the bytes of all folders."""
    return sum(size.bytes for size in sizes.values())
