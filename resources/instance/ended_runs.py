"""Ended runs: which runs ended since the last look, why they failed, and which checks failed in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from resources.instance.day_tags import read_ends

RUNS: Final = 25  # of a look
INTERRUPTED: Final = "Interrupted"
EVENTS: Final = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclass(frozen=True)
class EndedRun:
    """A run that ended.

    Attributes:
        run: the run.
        when: when it ended.
        errors: class and text of the error of each failed step that is no failed check.
        failed_checks: evaluations that did not pass.
        reason: Dagster's own text about the end.
    """

    run: dg.DagsterRun
    when: datetime
    errors: tuple[tuple[str, str], ...]
    failed_checks: tuple[dg.AssetCheckEvaluation, ...]
    reason: str

    @property
    def is_red(self) -> bool:
        """Whether the run failed."""
        return self.run.status == dg.DagsterRunStatus.FAILURE

    @property
    def days(self) -> str:
        """The day or the range of days of the run; empty if it has none."""
        first, last = read_ends(self.run.tags)
        return first if first == last else f"{first} to {last}"

    @property
    def job(self) -> str:
        """The job, or the assets that were launched without one."""
        assets = sorted(key.to_user_string() for key in self.run.asset_selection or ())
        is_adhoc = self.run.job_name.startswith("__") and assets
        return ", ".join(assets) if is_adhoc else self.run.job_name


def list_ended(
    instance: dg.DagsterInstance, kind: dg.DagsterEventType, cursor: str | None
) -> tuple[list[EndedRun], str]:
    """Lists the runs that ended this way after the cursor, oldest first, and the next cursor; none without a cursor."""
    if cursor is None:
        return [], instance.fetch_run_status_changes(kind, limit=1).cursor
    found = instance.fetch_run_status_changes(kind, limit=RUNS, cursor=cursor, ascending=True)
    return [ended for record in found.records for ended in read_ended(instance, record.run_id)], found.cursor


def read_ended(instance: dg.DagsterInstance, run_id: str) -> Iterator[EndedRun]:
    """Yields the run with its failures, unless it was deleted."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=EVENTS) if entry.dagster_event]
    errors, failed_checks = find_failures(events)
    ends = [event for event in events if event.event_type == dg.DagsterEventType.RUN_FAILURE]
    yield EndedRun(
        run=record.dagster_run,
        when=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC),
        errors=errors,
        failed_checks=failed_checks,
        reason=ends[-1].message or "" if ends else "",
    )


def find_failures(
    events: Iterable[dg.DagsterEvent],
) -> tuple[tuple[tuple[str, str], ...], tuple[dg.AssetCheckEvaluation, ...]]:
    """Finds the errors of the steps that failed, except those that only say that a check failed, and those checks."""
    events = list(events)
    of_checks = [event for event in events if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION]
    judged = [(event.step_key, event.asset_check_evaluation_data) for event in of_checks]
    refusing = {step for step, check in judged if blocks(check)}
    failures = [event for event in events if event.is_step_failure and event.step_key not in refusing]
    return tuple(map(_find_error, failures)), tuple(check for _, check in judged if not check.passed)


def blocks(check: dg.AssetCheckEvaluation) -> bool:
    """Whether a failed check made its run fail."""
    return bool(not check.passed and check.blocking and check.severity == dg.AssetCheckSeverity.ERROR)


def _find_error(event: dg.DagsterEvent) -> tuple[str, str]:
    """Finds name and text of the error in a failed step, not those of Dagster's wrapping."""
    error = event.step_failure_data.error
    if any(each.cls_name == dg.DagsterExecutionInterruptedError.__name__ for each in _list_chain(error)):
        return INTERRUPTED, "a signal, such as that of Ctrl-C, stopped the run"  # not what broke because of it
    while error and error.cause and (error.cls_name or "").startswith(("Dagster", dg.Failure.__name__)):
        error = error.cause
    if error is None:
        return "", event.message or ""
    return error.cls_name or "", error.message.strip()


def _list_chain(error: Any) -> Iterator[Any]:
    """Lists an error, those that caused it, and those that it interrupted."""
    if error:
        yield error
        yield from _list_chain(error.cause)
        yield from _list_chain(error.context)
