"""Deletion of old runs that no page needs.

Deleting a run deletes its events, and an asset without events looks as if it had never been materialized. So the run
that last materialized an asset, or one of its days, stays; only runs that were replaced go.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import dagster as dg

from resources.instance.private import delete_event_shard

FINISHED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
RECORDS: Final = 1000  # events looked up at once


def delete_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Deletes events, logs and images of the runs that ended before this moment and that no page needs; counts them."""
    ended = dg.RunsFilter(statuses=list(FINISHED), updated_before=before)
    deleted = set(instance.get_run_ids(ended)) - set(_list_needed(instance))
    for run_id in deleted:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        delete_event_shard(instance, run_id)
    return len(deleted)


def _list_needed(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yields the ids of the runs that last materialized an asset or one of its days."""
    for asset in instance.get_asset_keys():
        last = instance.get_latest_materialization_event(asset)
        if last is not None:
            yield last.run_id
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = list(instance.get_latest_storage_id_by_partition(asset, kind).values())
        for start in range(0, len(ids), RECORDS):
            some = dg.AssetRecordsFilter(asset_key=asset, storage_ids=ids[start : start + RECORDS])
            yield from (record.run_id for record in instance.fetch_materializations(some, RECORDS).records)
