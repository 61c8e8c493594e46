"""Predicted days: what the instance records about days of an asset, whatever else ran since."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from resources.instance.day_tags import FIRST, LAST, OPEN, PARTITION

PREDICTIONS = dg.AssetKey("predictions")


def list_predicted(
    instance: dg.DagsterInstance, days: Sequence[date], predictions: dg.AssetKey = PREDICTIONS
) -> set[date]:
    """Finds the subset of days whose predictions were materialized, not only while the day went on."""
    found = {day: find_materialization(instance, predictions, str(day)) for day in days}
    return {day for day, record in found.items() if record and not _was_open(instance, record.run_id)}


def find_materialization(instance: dg.DagsterInstance, asset: dg.AssetKey, day: str) -> dg.EventLogRecord | None:
    """Finds the last materialization of a day (YYYY-MM-DD) of an asset."""
    wanted = dg.AssetRecordsFilter(asset, asset_partitions=[day])
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None


def _was_open(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether `through_the_day` requested a run, so that the day must be run once more after its end."""
    run = instance.get_run_by_id(run_id)
    return run is not None and OPEN in run.tags


def describe_attempt(instance: dg.DagsterInstance, day: str) -> str:
    """Describes the last run that names the day, alone or as an end of its range: "no run", "a run that failed"."""
    runs = [
        run
        for tag in (PARTITION, FIRST, LAST)
        for run in instance.get_run_records(dg.RunsFilter(tags={tag: day}), limit=1)
    ]
    if not runs:
        return "no run"
    newest = max(runs, key=lambda record: record.storage_id).dagster_run
    if OPEN in newest.tags and newest.status == dg.DagsterRunStatus.SUCCESS:
        return "no run after the day had ended"
    states = {
        dg.DagsterRunStatus.SUCCESS: "a run without predictions",
        dg.DagsterRunStatus.FAILURE: "a run that failed",
        dg.DagsterRunStatus.CANCELED: "a run that was canceled",
    }
    return states.get(newest.status, "a run that has not ended")
