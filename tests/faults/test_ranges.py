"""Ranges of days: bad days of a run leave the others alone, and the run says which are bad and why."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
from broken_files import HOSTILE
from conftest import COLOURS, MakePhoto
from deployment import Deployment

FIRST = date(2026, 10, 1)
DAYS = [str(FIRST + timedelta(days=number)) for number in range(30)]
ABSENT, BROKEN, HOSTILE_DAY = DAYS[4], DAYS[12], DAYS[20]
GOOD = [day for day in DAYS if day not in (ABSENT, BROKEN)]
PHOTOS = 6
ASSETS = ("images", "image_features", "predictions", "drift", "review_queue", "review_form", "daily_report")


def fill(deployment: Deployment, make_photo: MakePhoto) -> None:
    for number, day in enumerate(DAYS):
        for photo in range(PHOTOS):
            colour = list(COLOURS)[photo % 3]
            (deployment.folder(day) / f"{photo}.jpg").write_bytes(make_photo(colour, 100 * number + photo, (64, 64)))
    for path in deployment.folder(ABSENT).iterdir():
        path.unlink()
    deployment.folder(ABSENT).rmdir()
    for number in range(PHOTOS * 2 // 3):
        (deployment.folder(BROKEN) / f"broken {number}.jpg").write_bytes(b"\xff\xd8\xff cut")
    (deployment.folder(HOSTILE_DAY) / "<script>\n..%2f.jpg").write_bytes(next(iter(HOSTILE.values())))
    for photo in range(40):
        colour = list(COLOURS)[photo % 3]
        (deployment.folder(HOSTILE_DAY) / f"more {photo}.jpg").write_bytes(make_photo(colour, 9000 + photo, (64, 64)))


def test_good_days_of_a_range_survive_an_absent_and_a_broken_one(
    deployment: Deployment, make_photo: MakePhoto, tmp_path: Path
) -> None:
    fill(deployment, make_photo)
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "assets.definitions"]
    done = subprocess.run(
        [*command, "--select", "group:daily", "--partition-range", f"{DAYS[0]}...{DAYS[-1]}"],
        cwd=deployment.root,
        env=deployment.environment | {"DAGSTER_HOME": str(home), "DAYLIGHT_START_DAY": DAYS[0]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    last = done.stderr.splitlines()[-8:]
    assert any(f"28 of 30 days are complete; these are not: {ABSENT}, {BROKEN}." in line for line in last), last
    assert any(f"{ABSENT} cannot be read" in line for line in last)
    assert any(
        f"more than 5.0% rejected files (DAYLIGHT_MAX_REJECTED_SHARE): {BROKEN} (4 of 10" in line for line in last
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
        done_days = {asset: instance.get_materialized_partitions(dg.AssetKey(asset)) for asset in ASSETS}
    assert {asset: days & set(GOOD) for asset, days in done_days.items()} == {asset: set(GOOD) for asset in ASSETS}
    assert all(ABSENT not in days for days in done_days.values())
    assert {asset for asset, days in done_days.items() if BROKEN in days} == {"images", "image_features", "predictions"}
    rows = {day: deployment.rows("predictions", day) for day in GOOD}
    assert {day: len(found or []) for day, found in rows.items()} == {
        day: PHOTOS + (41 if day == HOSTILE_DAY else 0) for day in GOOD
    }
