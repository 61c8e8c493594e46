"""The course: the pictures and graphs that all runs of a launch share, and one run over it."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from benchmarks.pictures import fetch_photos, find_photos, lay_out
from benchmarks.plan import Run, estimate_seconds
from benchmarks.processes import ContestantError, Cost, run
from benchmarks.results import label

PYTHON, PEER_PYTHON = Path(".venv/bin/python"), Path(".venv-bench/bin/python")
PEERS: Final = ("ray_data", "daft_")
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
GRAPHS_SECONDS: Final = 1_800
ARCHIVE_SECONDS: Final = 65
"""After which Daylight uses the archive of Java classes that its first start leaves (`resources/spark/java.py`)."""


@dataclass(frozen=True)
class Course:
    """What runs share.

    Attributes:
        pictures: folder of each number of pictures.
        graphs: path of each graph, and whether its weights are trained or random.
        weights: what `DAYLIGHT_WEIGHTS` says.
        work: folder for what runs make.
    """

    pictures: Mapping[int, Path]
    graphs: Mapping[str, Mapping[str, str]]
    weights: str
    work: Path

    def measure(self, wanted: Run) -> tuple[Cost, dict[str, Any]]:
        """Runs a contestant, and checks that every picture has its features.

        Returns:
            What it took, and what it said of itself.

        Raises:
            ContestantError: where it failed, or its result lacks pictures.
        """
        made, log = self.work / "made", self.work / "log"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        environment = {**os.environ, **QUIET}
        limit_seconds = max(600, 10 * estimate_seconds(wanted))
        cost = run(self._command(wanted, made / "result"), wanted.contestant.cores, environment, log, limit_seconds)
        facts = _read_answer(log)
        count = _count_features(made / "result")
        if count != wanted.picture_count and "inference_seconds" not in facts:
            raise ContestantError(
                f"{label(wanted.contestant)}: {count} of {wanted.picture_count} pictures have features"
            )
        shutil.rmtree(made)
        return cost, facts

    def warm_up(self, wanted: Run) -> None:
        """Runs a contestant once and forgets it, so that the first round finds what every later one finds.

        Raises:
            ContestantError: where it failed.
        """
        self.measure(wanted)
        time.sleep(ARCHIVE_SECONDS)

    def _command(self, wanted: Run, result: Path) -> list[str]:
        contestant = wanted.contestant
        command = [str(PEER_PYTHON if contestant.module in PEERS else PYTHON), "-m", f"benchmarks.{contestant.module}"]
        command.append(str(self.pictures[wanted.picture_count]))
        if contestant.graph:
            command.append(self.graphs[contestant.graph]["path"])
        command += [str(result), *contestant.words]
        if contestant.module != "bare":
            command += ["--cores", str(contestant.cores)]
        trained = sorted(Path(self.weights).glob("resnet50.*h5")) if self.weights else []
        if contestant.module == "original" and trained:
            command += ["--weights", str(trained[0])]
        return command


def prepare(runs: Sequence[Run], photos: Path | None, work: Path) -> Course:
    """Lays out the pictures and makes the graphs that some runs need."""
    weights = os.environ.get("DAYLIGHT_WEIGHTS", "")
    counts = sorted({each.picture_count for each in runs})
    print(f"Laying out {counts[-1]} pictures ...", flush=True)
    pictures = lay_out(find_photos(photos or fetch_photos(work / "photos")), counts, work / "pictures")
    names = sorted({each.contestant.graph for each in runs} - {""})
    if not names:
        return Course(pictures, {}, weights, work)
    print(f"Making the graphs {', '.join(names)} ...", flush=True)
    command = [str(PYTHON), "-m", "benchmarks.graphs", str(work / "graphs"), str(pictures[counts[-1]]), *names]
    cores = len(os.sched_getaffinity(0))
    run([*command, "--weights", weights], cores, os.environ, work / "log", GRAPHS_SECONDS)
    return Course(pictures, _read_answer(work / "log"), weights, work)


def _read_answer(log: Path) -> dict[str, Any]:
    """The line of JSON at the end of what a command said."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return json.loads(next(line for line in reversed(lines) if line.startswith("{")))


def _count_features(result: Path) -> int:
    """Rows of the features that a contestant left; of Daylight's lake, those of the first day of the asset's table."""
    saved = result.with_suffix(".npy")
    if saved.exists():
        return len(np.load(saved, mmap_mode="r"))
    first_day = next(iter(sorted((result / "image_features").glob("day=*"))), result)
    return sum(pq.read_metadata(file).num_rows for file in first_day.rglob("*.parquet"))
