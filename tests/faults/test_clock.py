"""The clock: after it was set back, everything stored lies in the future, and all goes on."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from conftest import MakePhoto
from deployment import DAY, Deployment, without_day

from assets.daily.late_files import late_files
from assets.definitions import build_definitions
from resources.lake.lake import Lake
from resources.lake.model_files import draft_name
from resources.landing import LandingZone
from resources.settings import read_settings

HOUR = 3600
RECENT = str(datetime.now(UTC).date() - timedelta(days=2))
LOGGED = ("timestamp", "modificationTime", "deletionTimestamp", "createdTime", "lastUpdated")  # in milliseconds


def age_by_an_hour(*folders: Path) -> None:
    """Makes files as young as those of the hour before the clock was set back by one."""
    times, now = random.Random(0), time.time()
    for path in (path for folder in folders for path in folder.rglob("*")):
        then = now + times.uniform(1, HOUR)
        os.utime(path, (then, then))


def shift_log(log: Path) -> None:
    """Shifts the times in a commit of a Delta table by an hour."""
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        (fields,) = action.values()
        fields |= {name: fields[name] + HOUR * 1000 for name in LOGGED if fields.get(name)}
    log.write_text("".join(json.dumps(action) + "\n" for action in actions))


def shift_runs(home: Path) -> None:
    """Shifts the times of all runs in Dagster's history by an hour."""
    with closing(sqlite3.connect(home / "history" / "runs.db")) as runs, runs:
        runs.execute(
            "update runs set create_timestamp = datetime(create_timestamp, '+1 hour'),"
            " update_timestamp = datetime(update_timestamp, '+1 hour'),"
            f" start_time = start_time + {HOUR}, end_time = end_time + {HOUR}"
        )


def set_back(deployment: Deployment, home: Path) -> None:
    """Leaves everything as if the clock had been set back by an hour just now."""
    for log in deployment.lake.glob("*/_delta_log/*.json"):
        shift_log(log)
    shift_runs(home)
    age_by_an_hour(deployment.lake, home)


class Site:
    """A deployment with an instance of Dagster of its own."""

    def __init__(self, deployment: Deployment, home: Path) -> None:
        self.deployment, self.home = deployment, home
        home.mkdir()
        self.cursor: str | None = None

    def dagster(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "dagster", *arguments, "-m", "assets.definitions"],
            cwd=self.deployment.root,
            env=self.deployment.environment | {"DAGSTER_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def run_day(self) -> None:
        self.dagster("asset", "materialize", "--select", "group:daily", "--partition", RECENT)

    def tick(self) -> list[str | None]:
        """Evaluates the sensor `late_files`; returns the days that it requests."""
        resources = {
            "lake": Lake(root=str(self.deployment.lake)),
            "landing_zone": LandingZone(landing=str(self.deployment.root / "landing"), training=""),
            "settings": read_settings(),
        }
        definitions = build_definitions(read_settings())
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            context = dg.build_sensor_context(instance, self.cursor, resources=resources, definitions=definitions)
            with context:
                result = late_files(context)
        self.cursor = result.cursor
        return [request.partition_key for request in result.run_requests or []]

    def list_files(self) -> set[Path]:
        """Lists the files of the lake, and the stored runs."""
        with closing(sqlite3.connect(self.home / "history" / "runs.db")) as runs:
            ids = [Path(run_id) for (run_id,) in runs.execute("select run_id from runs where status = 'SUCCESS'")]
        return {*self.deployment.lake.rglob("*"), *ids}


@pytest.fixture
def site(deployment: Deployment, tmp_path: Path) -> Site:
    """A recent day that was run before the clock was set back, and files of runs that still write."""
    folder = deployment.folder(RECENT)
    shutil.copytree(deployment.folder(DAY), folder, dirs_exist_ok=True)
    age_by_an_hour(deployment.root / "landing")
    site = Site(deployment, tmp_path / "home")
    site.run_day()
    being_written = deployment.lake / "images" / f"day={RECENT}" / "running" / "part.parquet"
    being_written.parent.mkdir()
    for path in (being_written, deployment.lake / "models" / "classifier" / draft_name("version")):
        path.write_bytes(b"half a file")
    set_back(deployment, site.home)
    return site


def test_a_clock_set_back_by_an_hour_loses_nothing(site: Site, expected: dict, make_photo: MakePhoto) -> None:
    deployment = site.deployment
    stored, before = site.list_files(), deployment.all_rows(RECENT)
    site.dagster("job", "execute", "-j", "housekeeping")
    assert stored <= site.list_files(), "nothing is removed"
    assert site.tick() == site.tick() == [], "nothing came late"
    site.run_day()
    assert deployment.all_rows(RECENT) == before
    assert without_day(before["predictions"]) == without_day(expected[DAY]["predictions"])
    (deployment.folder(RECENT) / "late.jpg").write_bytes(make_photo("red", 7000))
    assert site.tick() == [], "it may still be arriving"
    assert site.tick() == [RECENT]
    site.run_day()
    assert len(deployment.rows("predictions", RECENT)) == len(expected[DAY]["predictions"]) + 1
    assert stored <= site.list_files()
