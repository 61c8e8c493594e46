"""Private APIs of Dagster, all in this file, for the version it names; nothing else may import `dagster._core`."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.log_manager import DagsterLogManager
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.system_config.objects import ResolvedRunConfig

from resources.instance.day_tags import tag_days

DAGSTER_VERSION: Final = "1.13.27"  # that this file was checked against


def find_log_file(instance: dg.DagsterInstance, key: list[str], extension: str) -> Path | None:
    """Finds the path of a file below the compute-log folder, which the webserver serves; None if there is none."""
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return None
    return Path(manager.get_captured_local_path(key, extension))


def list_console_handlers(log: logging.Logger) -> list[logging.Handler]:
    """Lists the console handlers of the log of a run."""
    loggers = log._dagster_handler._loggers if isinstance(log, DagsterLogManager) else ()
    return [handler for logger in loggers for handler in logger.handlers]


def delete_event_shard(instance: dg.DagsterInstance, run_id: str) -> None:
    """Deletes the SQLite file of a run's events, which Dagster empties but leaves."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for ending in ("", "-wal", "-shm"):
            Path(storage.path_for_shard(run_id) + ending).unlink(missing_ok=True)


def list_databases(instance: dg.DagsterInstance) -> list[Path]:
    """Lists the SQLite files of runs, events, schedules and sensors; none if the instance has another database."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    history = Path(storage.path_for_shard("run")).parents[1]
    return [file for folder in (history, history.with_name("schedules")) for file in folder.rglob("*.db")]


def narrow_plan(
    plan_context: PlanOrchestrationContext, steps: Collection[str], days: Sequence[str]
) -> PlanOrchestrationContext:
    """Narrows the plan of a run of many days to some of its steps and adjacent days; the run stays the same."""
    job, run, plan = plan_context.job.get_definition(), plan_context.dagster_run, plan_context.execution_plan
    in_order = [step for step in plan.step_keys_to_execute if step in steps]
    config = ResolvedRunConfig.build(job, plan_context.run_config)
    data = plan_context.plan_data._replace(
        dagster_run=run.with_tags({**run.tags, **tag_days(days)}),
        execution_plan=plan.build_subset_plan(in_order, job, config),
    )
    return PlanOrchestrationContext(data, plan_context.log, plan_context.executor, plan_context.output_capture)
