"""The executor of all runs: Dagster's own, in one process; bad days leave the other days of a run alone.

A red run ends with what failed, by how much, and the cure.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.instance.day_tags import list_range
from resources.instance.passes import OBSERVED, Pass, is_complete, plan_next
from resources.instance.private import narrow_plan
from resources.instance.red_run import explain_failures, keep_last_words_short


@dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema)  # type: ignore[call-overload]
def run_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Runs all steps in one process, the good days of a run in spite of bad ones, and explains why a run is red."""
    make_executor: Any = dg.in_process_executor.executor_creation_fn
    return _Executor(make_executor(context))


class _Executor(dg.Executor):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        days = list_range(plan_context.dagster_run.tags)
        waiting = [Pass(days, frozenset(execution_plan.step_keys_to_execute))]
        observed: list[dg.DagsterEvent] = []
        good: set[str] = set()
        while waiting:
            current = waiting.pop(0)
            narrowed = narrow_plan(plan_context, current.steps, current.days) if observed else plan_context
            events = []
            for event in self._inner.execute(narrowed, narrowed.execution_plan):
                if event.event_type in OBSERVED:
                    events.append(event)
                yield event
            observed += events
            good |= set(current.days) if is_complete(events) else set()
            following = plan_next(current, events)
            for each in following:
                plan_context.log.warning(f"going on with {_describe(each.days)}, which are good")
            waiting = following + waiting
        lines = explain_failures(observed)
        if lines and good:
            bad = [day for day in days if day not in good]
            lines.append(f"{len(good)} of {len(days)} days are complete; these are not: {', '.join(bad)}.")
        for line in lines:
            plan_context.log.error(line)
        if lines:
            keep_last_words_short(plan_context.log)


def _describe(days: tuple[str, ...]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
