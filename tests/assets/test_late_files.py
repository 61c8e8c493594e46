"""Late files: the sensor runs their day again once they have settled, and never drops a prediction."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from assets.daily.late_files import ATTEMPTS, WATCHED_DAYS, late_files
from assets.definitions import build_definitions
from pipeline.images.image_files import read_days
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.settings import read_settings

EARLIER, RECENT, LONG_AGO = (str(datetime.now(UTC).date() - timedelta(days=ago)) for ago in (3, 2, WATCHED_DAYS + 1))

Tick = Callable[[], list[dg.RunRequest]]


@pytest.fixture
def zone(tmp_path: Path) -> LandingZone:
    zone = LandingZone(landing=str(tmp_path / "landing"), training="")
    for day in (EARLIER, RECENT, LONG_AGO):
        folder = tmp_path / "landing" / "days" / day
        folder.mkdir(parents=True)
        (folder / "in time.jpg").write_bytes(b"an image")
    return zone


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def tick(zone: LandingZone, spark: SparkSession, tmp_path: Path, instance: dg.DagsterInstance) -> Tick:
    """Evaluates the sensor, after all three days were read."""
    lake = Lake(root=str(tmp_path / "lake"))
    days = [EARLIER, RECENT, LONG_AGO]
    lake.write("images", read_days(lambda: spark, zone.day_folders(days)), days)
    cursor: list[str | None] = [None]
    definitions = build_definitions(read_settings())

    def evaluate() -> list[dg.RunRequest]:
        resources = {"lake": lake, "landing_zone": zone, "settings": read_settings()}
        with dg.build_sensor_context(instance, cursor[0], resources=resources, definitions=definitions) as context:
            result = late_files(context)
        cursor[0] = result.cursor
        return list(result.run_requests or [])

    return evaluate


def put(zone: LandingZone, day: str, name: str, content: bytes) -> None:
    (Path(zone.landing) / "days" / day / name).write_bytes(content)


def test_unchanged_days_are_not_run_again(tick: Tick) -> None:
    assert tick() == tick() == []


def test_a_late_file_runs_only_its_day_again(tick: Tick, zone: LandingZone) -> None:
    put(zone, RECENT, "late.jpg", b"another")
    put(zone, LONG_AGO, "too late.jpg", b"another")
    assert tick() == [], "it may still be arriving"
    (request,) = tick()
    assert request.partition_key == RECENT
    assert request.tags["reason"] == "late files: 1"
    assert tick()[0].run_key == request.run_key, "Dagster runs a key once"


def test_the_sensor_waits_for_a_growing_file(tick: Tick, zone: LandingZone) -> None:
    for size in range(1, 4):
        put(zone, RECENT, "growing.jpg", bytes(size))
        assert tick() == []
    assert [request.partition_key for request in tick()] == [RECENT]


def test_a_replaced_file_is_late(tick: Tick, zone: LandingZone) -> None:
    put(zone, EARLIER, "in time.jpg", b"another image")
    tick()
    assert [request.partition_key for request in tick()] == [EARLIER]


def test_a_day_with_missing_files_keeps_their_predictions(tick: Tick, zone: LandingZone) -> None:
    folder = Path(zone.landing) / "days" / RECENT
    (folder / "in time.jpg").rename(folder / "under another name.jpg")
    assert tick() == tick() == []
    shutil.rmtree(folder)
    assert tick() == tick() == []


def test_an_unread_day_is_left_to_the_schedule(tick: Tick, zone: LandingZone) -> None:
    day = str(datetime.now(UTC).date() - timedelta(days=1))
    (Path(zone.landing) / "days" / day).mkdir()
    put(zone, day, "new.jpg", b"an image")
    assert tick() == tick() == []


def end_run(instance: dg.DagsterInstance, request: dg.RunRequest, succeeds: bool, **tags: str) -> None:
    """Runs what the sensor requested, as Dagster would."""

    @dg.op
    def work() -> None:
        if not succeeds:
            raise dg.Failure("the disk is full")

    @dg.job
    def requested() -> None:
        work()

    key = {"dagster/run_key": request.run_key or "", "dagster/sensor_name": "late_files"}
    requested.execute_in_process(instance=instance, tags=key | tags, raise_on_error=False)


def test_a_day_whose_run_failed_is_requested_again_but_not_forever(
    tick: Tick, zone: LandingZone, instance: dg.DagsterInstance
) -> None:
    put(zone, RECENT, "late.jpg", b"another")
    tick()
    keys = []
    for _ in range(ATTEMPTS):
        (request,) = tick()
        keys.append(request.run_key)
        end_run(instance, request, succeeds=False)
    assert len(set(keys)) == ATTEMPTS
    assert tick() == []
    put(zone, RECENT, "later.jpg", b"a third")
    tick()
    assert [request.partition_key for request in tick()] == [RECENT], "the count starts again for other files"


def test_a_run_that_dagster_retries_is_awaited(tick: Tick, zone: LandingZone, instance: dg.DagsterInstance) -> None:
    put(zone, RECENT, "late.jpg", b"another")
    tick()
    (request,) = tick()
    end_run(instance, request, False, **{"dagster/will_retry": "true"})
    assert tick() == tick() == []


def test_a_tick_looks_at_the_days_it_has_time_for_and_the_next_at_the_others(
    tick: Tick, zone: LandingZone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (EARLIER, RECENT):
        put(zone, day, "late.jpg", b"another")
    monkeypatch.setattr("assets.daily.late_files.LISTING_SECONDS", 0)
    requested = [[request.partition_key for request in tick()] for _ in range(4)]
    assert requested == [[], [], [RECENT], [EARLIER]]
