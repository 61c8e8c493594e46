"""Passes: the good days of a run go on when a failure names the bad ones, and stop when it does not."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg
import pytest

from resources.instance.day_tags import tag_days
from resources.instance.executor import run_executor
from resources.instance.passes import name_bad_days

FIRST = date(2026, 11, 1)
DAYS = [str(FIRST + timedelta(days=number)) for number in range(6)]
PARTITIONS = dg.DailyPartitionsDefinition(DAYS[0], end_date="2026-11-07")
ABSENT, BROKEN = DAYS[2], DAYS[4]

faults: dict[str, Callable[[list[str]], None]] = {}


def asset(name: str, *deps: str) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=deps, partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def run(context: dg.AssetExecutionContext) -> None:
        faults.get(name, lambda days: None)(list(context.partition_keys))

    return run


@dg.asset_check(asset="predictions", blocking=True)
def rejected_files_are_few(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    bad = [day for day in context.partition_keys if day == BROKEN]
    return dg.AssetCheckResult(passed=not bad, metadata=name_bad_days(bad), description=f"of {len(bad)} days")


def make_job() -> dg.JobDefinition:
    assets = [asset("images"), asset("predictions", "images"), asset("report", "predictions")]
    definitions = dg.Definitions(
        assets, asset_checks=[rejected_files_are_few], executor=run_executor, jobs=[dg.define_asset_job("daily")]
    )
    return definitions.resolve_job_def("daily")


def find_absent(days: list[str]) -> None:
    if ABSENT in days:
        raise dg.Failure("no folder", name_bad_days([ABSENT]))


def run_days(days: list[str]) -> tuple[bool, dict[str, set[str]], Counter[str], list[str]]:
    """Returns success, the stored days of each asset, how often each step started, and the logged errors."""
    with dg.DagsterInstance.local_temp(overrides={"telemetry": {"enabled": False}}) as instance:
        result = dg.execute_job(dg.reconstructable(make_job), instance, tags=tag_days(days))
        stored = {
            name: set(instance.get_materialized_partitions(dg.AssetKey(name)))
            for name in ("images", "predictions", "report")
        }
        started = Counter(str(e.step_key) for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_START)
        logged = instance.all_logs(result.run_id)
        errors = [entry.user_message for entry in logged if entry.level == 40 and not entry.is_dagster_event]
    return result.success, stored, started, errors


@pytest.fixture(autouse=True)
def no_faults() -> None:
    faults.clear()


def test_the_other_days_are_complete_when_some_are_absent_or_fail_a_check() -> None:
    faults["images"] = find_absent
    success, stored, started, errors = run_days(DAYS)
    assert not success
    assert stored == {
        "images": set(DAYS) - {ABSENT},
        "predictions": set(DAYS) - {ABSENT},
        "report": set(DAYS) - {ABSENT, BROKEN},
    }
    assert started["predictions_rejected_files_are_few"] == 2, "days that were judged are not judged again"
    assert errors[-1] == f"4 of 6 days are complete; these are not: {ABSENT}, {BROKEN}."


def test_a_failure_that_names_no_day_stops_all_days() -> None:
    def fail(days: list[str]) -> None:
        raise RuntimeError("out of memory")

    faults["images"] = find_absent
    faults["predictions"] = fail
    success, stored, started, errors = run_days(DAYS[:4])
    assert not success
    assert stored == {"images": set(DAYS[:4]) - {ABSENT}, "predictions": set(), "report": set()}
    assert started["predictions"] == 2, "once for each stretch of good days"
    assert not any("days are complete" in error for error in errors)


@pytest.mark.parametrize("day", [ABSENT, BROKEN])
def test_a_bad_day_alone_is_run_once(day: str) -> None:
    faults["images"] = find_absent
    success, stored, started, errors = run_days([day])
    assert not success
    assert not stored["report"]
    assert set(started.values()) == {1}
    assert not any("days are complete" in error for error in errors)


def test_good_days_are_one_pass() -> None:
    success, stored, started, errors = run_days(DAYS[:4])
    assert success
    assert stored["report"] == set(DAYS[:4])
    assert set(started.values()) == {1}
    assert not errors
