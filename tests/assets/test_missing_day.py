"""A missing day: no backfill hides it, and the sensor reports it within a tick of the deadline."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from assets.daily.missing_day import describe_missing, every_due_day_has_predictions, list_missing, make_missing_day
from assets.daily.partitions import days_since
from resources.instance.day_tags import OPEN
from resources.question import Question
from resources.settings import Settings, read_settings

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CHECK = dg.AssetCheckKey(dg.AssetKey("predictions"), every_due_day_has_predictions.name)
TODAY = datetime.now(UTC).date()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def settings() -> Settings:
    return read_settings().replace(deadline="00:00")


def run_day(instance: dg.DagsterInstance, day: date, succeeds: bool = True, **tags: str) -> None:
    @dg.asset(partitions_def=days_since(date(2026, 1, 1)))
    def predictions() -> None:
        if not succeeds:
            raise dg.Failure("the disk is full")

    dg.materialize([predictions], instance=instance, partition_key=str(day), tags=tags, raise_on_error=False)


def test_a_day_that_was_run_only_while_it_went_on_is_missing(instance: dg.DagsterInstance) -> None:
    run_day(instance, date(2026, 11, 28))
    run_day(instance, date(2026, 11, 29), **{OPEN: "true"})
    assert list_missing(instance, read_settings(), NOON) == [date(2026, 11, 29)]
    assert "no run after the day had ended" in describe_missing(instance, read_settings(), [date(2026, 11, 29)])
    run_day(instance, date(2026, 11, 29))
    assert list_missing(instance, read_settings(), NOON) == []


def test_a_backfill_of_an_old_day_does_not_hide_yesterday(instance: dg.DagsterInstance) -> None:
    settings = read_settings()
    for day in (date(2026, 11, 27), date(2026, 11, 28)):
        run_day(instance, day)
    assert list_missing(instance, settings, NOON) == [date(2026, 11, 29)]
    run_day(instance, date(2026, 11, 28))
    run_day(instance, date(2026, 6, 1))
    assert list_missing(instance, settings, NOON) == [date(2026, 11, 29)]
    assert list_missing(instance, settings, NOON.replace(hour=8)) == [], "before the deadline"
    assert list_missing(instance, settings.replace(quiet_days="Sunday"), NOON) == []
    run_day(instance, date(2026, 11, 29))
    assert list_missing(instance, settings, NOON) == []


def test_a_day_that_ran_again_and_failed_still_has_its_predictions(instance: dg.DagsterInstance) -> None:
    run_day(instance, date(2026, 11, 29))
    run_day(instance, date(2026, 11, 29), succeeds=False)
    assert list_missing(instance, read_settings(), NOON) == []


def test_the_reason_says_what_became_of_the_day(instance: dg.DagsterInstance) -> None:
    day = date(2026, 11, 29)
    assert "2026-11-29 (no run). Launch" in describe_missing(instance, read_settings(), [day])
    run_day(instance, day, succeeds=False)
    assert "2026-11-29 (a run that failed)" in describe_missing(instance, read_settings(), [day])


def test_the_sensor_turns_the_check_red_once_and_green_again(instance: dg.DagsterInstance, settings: Settings) -> None:
    def tick(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(instance, cursor, resources={"settings": settings}) as context:
            return make_missing_day(Question(settings))(context)

    yesterday = TODAY - timedelta(days=1)
    run_day(instance, yesterday - timedelta(days=1))
    first = tick(None)
    (evaluation,) = first.asset_events
    assert (evaluation.asset_check_key, evaluation.passed) == (CHECK, False)
    assert str(yesterday) in evaluation.description
    assert not tick(first.cursor).asset_events, "it is recorded once"
    run_day(instance, yesterday)
    (evaluation,) = tick(first.cursor).asset_events
    assert evaluation.passed


def test_the_check_can_run_by_itself(instance: dg.DagsterInstance, settings: Settings) -> None:
    @dg.asset(partitions_def=days_since(date(2026, 1, 1)))
    def predictions() -> None: ...

    definitions = dg.Definitions(
        assets=[predictions],
        asset_checks=[every_due_day_has_predictions.define(Question(settings))],
        resources={"settings": settings},
        jobs=[dg.define_asset_job("alone", dg.AssetSelection.all_asset_checks())],
    )
    result = definitions.resolve_job_def("alone").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert result.success, "it blocks nothing"
