"""Backfill: many small days in one run beside one day of the same photos, and what a run leaves in Dagster's storage.

    python -m benchmarks.backfill FOLDER LAKE

FOLDER holds 1,500 photos or more (or `--photos 20`, for those of the demo), LAKE is one that was trained
on such photos. Each run has a lake of its own with the models of that one, so that every photo is embedded.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.definitions import build_definitions
from pipeline.drift import image_drift as drift
from resources.settings import read_settings

FIRST: Final = date(2026, 10, 1)
TRAINED: Final = ("models", "training_features", "training_images")
"""What a day needs of the lake that was trained in."""


def main() -> None:
    """Prints the seconds of both, round by round, and the growth of Dagster's storage by one run of one day."""
    parser = argparse.ArgumentParser(prog="benchmarks.backfill", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--photos", type=int, default=50, help="of each day")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found, wanted = sorted(path for path in options.folder.rglob("*") if path.is_file()), options.days * options.photos
    if len(found) < wanted:
        sys.exit(f"{options.folder} has {len(found)} files, and {wanted} are needed")
    photos = Random(0).sample(found, wanted)  # noqa: S311 days of all classes, else drift alarms
    many, one = (_deal(photos, count) for count in (options.days, 1))
    _run(options.lake, {FIRST: photos[: options.photos]})  # Spark starts
    ratios = []
    for _ in range(options.rounds):
        seconds, _, _ = _run(options.lake, many)
        other, _, _ = _run(options.lake, one)
        ratios.append(seconds / other)
        print(f"{options.days} days in {seconds:.1f} s, one day in {other:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {median(ratios):.2f}")
    _, rows, kilobytes = _run(options.lake, {FIRST: photos[: options.photos]})
    print(f"one run of one day: {rows} events, {kilobytes:.0f} kB in Dagster's storage")


def _deal(photos: Sequence[Path], days: int) -> dict[date, list[Path]]:
    return {FIRST + timedelta(days=number): list(photos[number::days]) for number in range(days)}


def _run(lake: Path, days: dict[date, list[Path]]) -> tuple[float, int, float]:
    """Predicts these days in one run; its seconds, its events, and by how many kB Dagster's storage grew."""
    drift._compared.clear()  # else a later round would know the answers of the one before
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for table in TRAINED:
            shutil.copytree(lake / table, root / "lake" / table)
        for day, photos in days.items():
            target = root / "landing" / "days" / day.isoformat()
            target.mkdir(parents=True)
            for number, photo in enumerate(photos):
                shutil.copy(photo, target / f"{number:05} {photo.name}")
        settings = read_settings().replace(landing=str(root / "landing"), lake=str(root / "lake"))
        job = build_definitions(settings).resolve_job_def("daily")
        first, *_, last = [*days, *days]
        tags = {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}
        (root / "dagster").mkdir()
        with dg.DagsterInstance.local_temp(str(root / "dagster")) as instance:
            before = _size(root / "dagster")
            started = time.monotonic()
            result = job.execute_in_process(
                instance=instance, tags=tags, run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            )
            seconds = time.monotonic() - started
            return seconds, len(instance.all_logs(result.run_id)), (_size(root / "dagster") - before) / 1000


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix == ".db")


if __name__ == "__main__":
    main()
