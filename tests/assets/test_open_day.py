"""The open day: the schedule runs it for new files only, and one run at a time."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from assets.daily.open_day import make_through_the_day
from assets.daily.partitions import days_since
from pipeline.images.image_files import read_days
from resources.instance.day_tags import OPEN
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.settings import SettingError, read_settings

NOW = datetime(2026, 11, 30, 22, 30, tzinfo=UTC)
DAY = "2026-11-30"
Tick = Callable[[], dg.RunRequest | dg.SkipReason]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def zone(tmp_path: Path) -> LandingZone:
    return LandingZone(landing=str(tmp_path / "landing"), training="")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def tick(instance: dg.DagsterInstance, zone: LandingZone, lake: Lake) -> Tick:
    schedule = make_through_the_day(read_settings())

    def evaluate() -> dg.RunRequest | dg.SkipReason:
        resources = {"lake": lake, "landing_zone": zone}
        with dg.build_schedule_context(instance, scheduled_execution_time=NOW, resources=resources) as context:
            return schedule(context)

    return evaluate


def put(zone: LandingZone, name: str) -> None:
    folder = Path(zone.landing, "days", DAY)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"an image")


def test_a_day_is_run_when_its_first_files_arrive_and_again_for_new_ones(
    tick: Tick, zone: LandingZone, lake: Lake, spark: SparkSession
) -> None:
    assert isinstance(tick(), dg.SkipReason)
    put(zone, "a.jpg")
    request = tick()
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.tags[OPEN]) == (DAY, "true")
    lake.write("images", read_days(lambda: spark, zone.day_folders([DAY])), [DAY])
    assert isinstance(tick(), dg.SkipReason), "nothing is new"
    put(zone, "b.jpg")
    assert isinstance(tick(), dg.RunRequest)
    Path(zone.landing, "days", DAY, "a.jpg").unlink()
    gone = tick()
    assert isinstance(gone, dg.SkipReason), "a run would delete a prediction"
    assert "a.jpg" in str(gone.skip_message)


def test_a_day_with_a_run_under_way_waits(tick: Tick, zone: LandingZone, instance: dg.DagsterInstance) -> None:
    put(zone, "a.jpg")

    @dg.op
    def predict() -> None:
        assert isinstance(tick(), dg.SkipReason)

    @dg.job(partitions_def=days_since(date(2026, 1, 1)))
    def daily() -> None:
        predict()

    daily.execute_in_process(instance=instance, partition_key=DAY)
    assert isinstance(tick(), dg.RunRequest)


@pytest.mark.parametrize(
    ("minutes", "cron"), [("15", "*/15 * * * *"), ("60", "0 * * * *"), ("120", "0 */2 * * *"), ("1", "*/1 * * * *")]
)
def test_the_interval_is_a_setting(minutes: str, cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_OPEN_DAY_MINUTES", minutes)
    assert make_through_the_day(read_settings()).cron_schedule == cron


@pytest.mark.parametrize("minutes", ["0", "7", "90", "1440"])
def test_an_interval_that_does_not_divide_the_hour_or_the_day_is_refused(
    minutes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYLIGHT_OPEN_DAY_MINUTES", minutes)
    with pytest.raises(SettingError, match="DAYLIGHT_OPEN_DAY_MINUTES"):
        read_settings()
