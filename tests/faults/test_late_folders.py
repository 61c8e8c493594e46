"""Late files in huge folders: a tick of the sensor ends in time, and the next one goes on."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake

from assets.daily.late_files import WATCHED_DAYS, late_files
from assets.definitions import build_definitions
from pipeline.images.late_files import FACTS
from pipeline.storage.files import list_files
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.settings import read_settings

FILES = 100_000
TICK_SECONDS = 60  # Dagster's limit


def store_images(lake: Path, day: date, files: pa.Table) -> None:
    """Commits a day of `images` as a run would, with the columns that the sensor reads."""
    rows = files.select(list(FACTS)).append_column("read_error", pa.nulls(len(files), pa.string()))
    rows = rows.append_column("day", pa.array([day] * len(files), pa.date32()))
    written = CommitProperties(app_transactions=[Transaction(str(day), 1)])
    write_deltalake(lake / "images", rows, partition_by=["day"], mode="append", commit_properties=written)


def test_fourteen_folders_of_100000_files_are_watched_within_the_time_of_a_tick(tmp_path: Path) -> None:
    folder, days = tmp_path / "folder", tmp_path / "landing" / "days"
    folder.mkdir()
    days.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number:06}.jpg").touch()
    stored = list_files(str(folder))
    (folder / "late.jpg").touch()
    today = datetime.now(UTC).date()
    watched = [today - timedelta(days=ago) for ago in range(1, WATCHED_DAYS + 1)]
    for day in watched:
        (days / str(day)).symlink_to(folder)
        store_images(tmp_path / "lake", day, stored)

    resources = {
        "lake": Lake(root=str(tmp_path / "lake")),
        "landing_zone": LandingZone(landing=str(tmp_path / "landing"), training=""),
        "settings": read_settings(),
    }
    definitions, cursor, requested, seconds = build_definitions(read_settings()), None, set(), []
    with dg.DagsterInstance.ephemeral() as instance:
        while len(requested) < WATCHED_DAYS and len(seconds) < 4 * WATCHED_DAYS:
            started = time.monotonic()
            context = dg.build_sensor_context(instance, cursor, resources=resources, definitions=definitions)
            with context:
                result = late_files(context)
            seconds.append(time.monotonic() - started)
            cursor = result.cursor
            requested |= {request.partition_key for request in result.run_requests or []}
    assert requested == {str(day) for day in watched}
    assert max(seconds) < TICK_SECONDS
