"""Attempts of a run: the run itself, and the runs that Dagster or a person started again from it."""

import dagster as dg

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def will_be_retried(run: dg.DagsterRun) -> bool:
    """Whether the run failed and Dagster starts it again by itself."""
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get("dagster/will_retry") == "true"


def has_newer_attempt(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether someone, or Dagster, started this run again."""
    return bool(instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}), limit=1))


def is_under_way(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the newest attempt of this run is waiting, in progress or about to be retried."""
    again = instance.get_runs(dg.RunsFilter(tags={"dagster/root_run_id": run.run_id}), limit=1)  # newest first
    newest = again[0] if again else run
    return newest.status not in ENDED or will_be_retried(newest)


def root_of(run: dg.DagsterRun) -> str:
    """The id of the first attempt of this run."""
    return run.root_run_id or run.run_id
