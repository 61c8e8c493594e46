"""The history of runs: which of them nobody needs any more, and how they are forgotten.

With a run Dagster deletes what it told, so that an asset would look as if it had never been made. So a run stays that
an asset, or a day of one, was last made in; those it replaced go.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage

RECORDS: Final = 1000
"""Of events that are looked up at once."""


def forget_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Forgets the runs that ended before this moment and that no page needs: events, logs and pictures; counts them."""
    ended = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
    forgotten = set(instance.get_run_ids(ended)) - set(_list_needed(instance))
    for run_id in forgotten:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _delete_shard(instance, run_id)
    return len(forgotten)


def _list_needed(instance: dg.DagsterInstance) -> Iterator[str]:
    """The runs in which assets, and days of them, were last made."""
    for asset in instance.get_asset_keys():
        last = instance.get_latest_materialization_event(asset)
        if last is not None:
            yield last.run_id
        by_day = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = list(by_day.values())
        for start in range(0, len(ids), RECORDS):
            some = dg.AssetRecordsFilter(asset_key=asset, storage_ids=ids[start : start + RECORDS])
            yield from (record.run_id for record in instance.fetch_materializations(some, RECORDS).records)


def _delete_shard(instance: dg.DagsterInstance, run_id: str) -> None:
    """SQLite has a file for every run, which Dagster empties and leaves."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for ending in ("", "-wal", "-shm"):
            Path(storage.path_for_shard(run_id) + ending).unlink(missing_ok=True)
