"""Backfill: many small days in one run against one day of the same photos, and the growth of Dagster's storage.

    python -m benchmarks.backfill FOLDER LAKE

FOLDER holds at least 1,500 photos (with `--photos 20`, those of the demo suffice). LAKE was trained on similar photos.
Every run gets a copy of the trained tables and models, but no cached features of the photos.
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

from assets.definitions import build_definitions
from resources.instance.day_tags import tag_days
from resources.settings import read_settings

FIRST: Final = date(2026, 10, 1)
TRAINED: Final = ("models", "training_features", "training_images")
"""Parts of the trained lake that a day needs."""


def main() -> None:
    """Prints the seconds of both in every round, and the growth of Dagster's storage by a run of one day."""
    parser = argparse.ArgumentParser(prog="benchmarks.backfill", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--photos", type=int, default=50, help="photos per day")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found, needed = sorted(path for path in options.folder.rglob("*") if path.is_file()), options.days * options.photos
    if len(found) < needed:
        sys.exit(f"{options.folder} has {len(found)} files; {needed} are needed")
    photos = Random(0).sample(found, needed)  # noqa: S311 mixes the classes, or drift would alarm
    many, one = (_split_into_days(photos, count) for count in (options.days, 1))
    _run(options.lake, {FIRST: photos[: options.photos]})  # starts Spark
    ratios = []
    for _ in range(options.rounds):
        seconds, _, _ = _run(options.lake, many)
        other, _, _ = _run(options.lake, one)
        ratios.append(seconds / other)
        print(f"{options.days} days in {seconds:.1f} s, one day in {other:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {median(ratios):.2f}")
    _, rows, kilobytes = _run(options.lake, {FIRST: photos[: options.photos]})
    print(f"one run of one day: {rows} events, {kilobytes:.0f} kB in Dagster's storage")


def _split_into_days(photos: Sequence[Path], days: int) -> dict[date, list[Path]]:
    return {FIRST + timedelta(days=number): list(photos[number::days]) for number in range(days)}


def _run(lake: Path, days: dict[date, list[Path]]) -> tuple[float, int, float]:
    """Predicts days in one run; returns its seconds, its events, and the growth of Dagster's storage in kB."""
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
        tags = tag_days([str(first), str(last)])
        (root / "dagster").mkdir()
        with dg.DagsterInstance.local_temp(str(root / "dagster")) as instance:
            before = _measure_bytes(root / "dagster")
            started = time.monotonic()
            result = job.execute_in_process(
                instance=instance, tags=tags, run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            )
            seconds = time.monotonic() - started
            return seconds, len(instance.all_logs(result.run_id)), (_measure_bytes(root / "dagster") - before) / 1000


def _measure_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix == ".db")


if __name__ == "__main__":
    main()
