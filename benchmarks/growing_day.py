"""A growing day: how long a run takes that predicts a day again after more files have arrived, and what readers see.

    python -m benchmarks.growing_day FOLDER LAKE

FOLDER holds photos. LAKE has a classifier of such photos; the runs work on a copy of it.
"""

import argparse
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from benchmarks.deployment import Deployment
from benchmarks.images import find_photos, number_image

PROJECT: Final = Path(__file__).parents[1]
PAUSE_SECONDS: Final = 0.2  # between two reads
AGAIN: Final = 3  # runs of the whole day after the last file


def main() -> None:
    """Prints the seconds of every run, and whether a reader ever saw fewer rows than before."""
    parser = argparse.ArgumentParser(prog="benchmarks.growing_day", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--files", type=int, default=1_000, help="new files of a run")
    options = parser.parse_args()
    photos, today, seconds = find_photos(options.folder), datetime.now(UTC).date(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(PROJECT, Path(folder), today)
        shutil.copytree(options.lake, deployment.lake)
        day = deployment.day(today)
        with _reading(deployment.lake / "predictions", today) as counts:
            for run in range(options.runs):
                for number in range(run * options.files, (run + 1) * options.files):
                    image = number_image(photos[number % len(photos)].read_bytes(), number)
                    (day / f"{number:07}.jpg").write_bytes(image)
                seconds.append(_run(deployment, today, f"{(run + 1) * options.files} files"))
            same = [_run(deployment, today, "no new file") for _ in range(AGAIN)]
        is_growing = all(fewer <= more for fewer, more in pairwise(counts))
    first, last = median(seconds[:3]), median(seconds[-3:])
    print(f"first three runs {first:.1f} s, last three {last:.1f} s, without new files {median(same):.1f} s")
    verdict = "never fewer than before" if is_growing else "ONCE FEWER THAN BEFORE"
    print(f"{len(counts)} reads, {counts[-1] if counts else 0} rows in the last, {verdict}")


def _run(deployment: Deployment, day: date, name: str) -> float:
    cost = deployment.launch("daily", "--partition", str(day))
    print(f"{name}: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} CPU-s", flush=True)
    return cost.wall_seconds


@contextmanager
def _reading(table: Path, day: date) -> Iterator[list[int]]:
    """Counts the rows of the day again and again, in a thread."""
    counts, stop = list[int](), threading.Event()

    def read() -> None:
        while not stop.wait(PAUSE_SECONDS):
            try:
                dataset = DeltaTable(str(table)).to_pyarrow_dataset()
            except TableNotFoundError:
                continue
            counts.append(dataset.count_rows(filter=ds.field("day") == day))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield counts
    finally:
        stop.set()
        reader.join()


if __name__ == "__main__":
    main()
