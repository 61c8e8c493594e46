"""Passes: which days and steps of a run of many days to execute next, once some of its days turned out bad.

Dagster fails or passes all days of a run together. A bad day, which a failed step or check names, would take its
neighbours with it; so the steps that it stopped are executed again for the days around it, in the same run.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from resources.instance.ended_runs import blocks

BAD_DAYS: Final = "bad_days"  # key of the metadata in which a failure names days
OBSERVED: Final = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


@dataclass(frozen=True)
class Pass:
    """One execution of some steps of a run.

    Attributes:
        days: adjacent days, in order; none in a run without a range of days.
        steps: keys of the steps.
    """

    days: tuple[str, ...]
    steps: frozenset[str]


def name_bad_days(days: Iterable[str]) -> dict[str, dg.MetadataValue]:
    """Makes the metadata with which a failed step or blocking check says that only these days are bad."""
    return {BAD_DAYS: dg.MetadataValue.json(sorted(days))}


def is_complete(events: Iterable[dg.DagsterEvent]) -> bool:
    """Whether no step of a pass failed."""
    return not any(event.is_step_failure for event in events)


def plan_next(done: Pass, events: Sequence[dg.DagsterEvent]) -> list[Pass]:
    """Plans the passes that finish the good days of a pass; none if a failure may concern them.

    A step that succeeded has stored all days. A check that failed has judged all days, and its verdict stays.
    """
    checks = {
        event.step_key: event.asset_check_evaluation_data
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION and blocks(event.asset_check_evaluation_data)
    }
    failures = [event for event in events if event.is_step_failure]
    named = [_find_named(event, checks.get(event.step_key)) for event in failures]
    bad = set[str]().union(*named) & set(done.days)
    if not bad or not all(named) or bad == set(done.days):
        return []
    finished = {event.step_key for event in events if event.event_type == dg.DagsterEventType.STEP_SUCCESS}
    steps = done.steps - finished - set(checks)
    return [Pass(days, steps) for days in _split(done.days, bad)] if steps else []


def _find_named(failure: dg.DagsterEvent, check: dg.AssetCheckEvaluation | None) -> set[str]:
    data = failure.step_failure_data.user_failure_data
    found = (check.metadata if check else data.metadata if data else {}).get(BAD_DAYS)
    return set(found.value) if isinstance(found, dg.JsonMetadataValue) and isinstance(found.value, list) else set()


def _split(days: Sequence[str], bad: Collection[str]) -> list[tuple[str, ...]]:
    """Splits days into the longest stretches without a bad one."""
    stretches: list[tuple[str, ...]] = [()]
    for day in days:
        if day in bad:
            stretches.append(())
        else:
            stretches[-1] += (day,)
    return [stretch for stretch in stretches if stretch]
