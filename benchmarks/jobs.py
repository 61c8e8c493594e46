"""Jobs: how long trainings and days take from their command to its end, in several versions in turns.

    python -m benchmarks.jobs FOLDER [CHECKOUT ...]

FOLDER holds labelled photos, a folder per class. A checkout is a folder with a version of Daylight after `make setup`;
without any, this one is measured. Every round begins with an empty lake.
"""

import argparse
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.deployment import Deployment
from benchmarks.images import find_photos, number_image
from benchmarks.processes import Cost

PROJECT: Final = Path(__file__).parents[1]
YESTERDAY: Final = datetime.now(UTC).date() - timedelta(days=1)
DAYS: Final = (YESTERDAY - timedelta(days=1), YESTERDAY)
UNCHANGED, ADDED = "unchanged training", "training with more photos"
ACCEPT: Final = '{"ops": {"gate": {"config": {"accept_equal": true}}}}'
"""A few more photos seldom make a better classifier; if they make a worse one, the gate ends the benchmark."""


def main() -> None:
    """Prints the seconds of every job, their medians, and the ratios to the first version."""
    parser = argparse.ArgumentParser(prog="benchmarks.jobs", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkouts", type=Path, nargs="*", default=[PROJECT])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--added", type=int, default=100, help="labelled photos that come later")
    parser.add_argument("--photos", type=int, default=200, help="photos of a day")
    options = parser.parse_args()
    checkouts, photos = [each.resolve() for each in options.checkouts], find_photos(options.folder)
    seconds: defaultdict[str, list[list[float]]] = defaultdict(list)
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            roots = [Path(folder, str(number)) for number in range(len(checkouts))]
            deployments = [Deployment(*each, DAYS[0]) for each in zip(checkouts, roots, strict=True)]
            steps = (run_jobs(each, photos, options.added, options.photos) for each in deployments)
            for step, costs in map(_turn, zip(*steps, strict=True)):
                seconds[step].append([cost.wall_seconds for cost in costs])
                spent = ", ".join(f"{cost.wall_seconds:.1f} s ({cost.cpu_seconds:.1f} CPU-s)" for cost in costs)
                print(f"{step}: {spent}", flush=True)
    for step, rounds in seconds.items():
        former = seconds[UNCHANGED] if step == ADDED else rounds
        ratios = [[own / other[0] for own in each] for each, other in zip(rounds, former, strict=True)]
        print(f"median of {step}: {_medians(rounds)} s, ratios {_medians(ratios)}")


def run_jobs(deployment: Deployment, photos: Sequence[Path], added: int, count: int) -> Iterator[tuple[str, Cost]]:
    """Runs trainings and days one after another, each when it is asked for.

    Args:
        deployment: an empty deployment.
        photos: labelled photos.
        added: how many of them come after the first two trainings.
        count: photos of a day: labelled ones with changed bytes.
    """
    _label(photos[added:], deployment.training)
    yield "first training", deployment.launch("training")
    yield UNCHANGED, deployment.launch("training")
    _label(photos[:added], deployment.training)
    yield ADDED, deployment.launch("training", "--config-json", ACCEPT)
    for step, (number, day) in zip(("first day", "next day"), enumerate(DAYS), strict=True):
        folder = deployment.day(day)
        for place, photo in enumerate(photos[:count]):
            image = number_image(photo.read_bytes(), number * count + place)
            (folder / f"{place}.jpg").write_bytes(image)
        yield step, deployment.launch("daily", "--partition", str(day))


def _label(photos: Sequence[Path], folder: Path) -> None:
    for photo in photos:
        target = folder / photo.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, target)


def _turn(step: tuple[tuple[str, Cost], ...]) -> tuple[str, list[Cost]]:
    return step[0][0], [cost for _, cost in step]


def _medians(rounds: Sequence[Sequence[float]]) -> str:
    return " / ".join(f"{median(each):.2f}" for each in zip(*rounds, strict=True))


if __name__ == "__main__":
    main()
