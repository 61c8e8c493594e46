"""The workload: images and graphs that all runs of a launch share, and the execution of one run on them."""

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

from benchmarks.images import fetch_photos, find_photos, lay_out
from benchmarks.plan import Run, estimate_seconds
from benchmarks.processes import CandidateError, Cost, run_command
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
"""Delay after which Daylight uses the cache of Java classes of its first start (`resources/spark/quick_start.py`)."""


@dataclass(frozen=True)
class Workload:
    """Shared inputs of all runs.

    Attributes:
        images: folder by number of images.
        graphs: path of each graph, and whether its weights are trained or random.
        weights: value of `DAYLIGHT_WEIGHTS`.
        work: folder for the outputs of runs.
    """

    images: Mapping[int, Path]
    graphs: Mapping[str, Mapping[str, str]]
    weights: str
    work: Path

    def measure(self, run: Run) -> tuple[Cost, dict[str, Any]]:
        """Runs a candidate and checks that every image has features.

        Returns:
            Its cost, and the facts that it reported.

        Raises:
            CandidateError: if it failed, or its output lacks images.
        """
        outputs, log = self.work / "outputs", self.work / "log"
        shutil.rmtree(outputs, ignore_errors=True)
        outputs.mkdir()
        environment = {**os.environ, **QUIET}
        limit_seconds = max(600, 10 * estimate_seconds(run))
        command = self._command(run, outputs / "result")
        cost = run_command(command, run.candidate.cores, environment, log, limit_seconds)
        facts = _read_report(log)
        count = _count_features(outputs / "result")
        if count != run.image_count and "inference_seconds" not in facts:
            raise CandidateError(f"{label(run.candidate)}: {count} of {run.image_count} images have features")
        shutil.rmtree(outputs)
        return cost, facts

    def warm_up(self, run: Run) -> None:
        """Runs a candidate once without recording it, so that the first round is not slower than later ones.

        Raises:
            CandidateError: if it failed.
        """
        self.measure(run)
        time.sleep(ARCHIVE_SECONDS)

    def _command(self, run: Run, result: Path) -> list[str]:
        candidate = run.candidate
        command = [str(PEER_PYTHON if candidate.module in PEERS else PYTHON), "-m", f"benchmarks.{candidate.module}"]
        command.append(str(self.images[run.image_count]))
        if candidate.graph:
            command.append(self.graphs[candidate.graph]["path"])
        command += [str(result), *candidate.arguments]
        if candidate.module != "bare":
            command += ["--cores", str(candidate.cores)]
        trained = sorted(Path(self.weights).glob("resnet50.*h5")) if self.weights else []
        if candidate.module == "original" and trained:
            command += ["--weights", str(trained[0])]
        return command


def prepare(runs: Sequence[Run], photos: Path | None, work: Path) -> Workload:
    """Lays out the images and exports the graphs of the given runs."""
    weights = os.environ.get("DAYLIGHT_WEIGHTS", "")
    counts = sorted({each.image_count for each in runs})
    print(f"Laying out {counts[-1]} images ...", flush=True)
    images = lay_out(find_photos(photos or fetch_photos(work / "photos")), counts, work / "images")
    names = sorted({each.candidate.graph for each in runs} - {""})
    if not names:
        return Workload(images, {}, weights, work)
    print(f"Exporting the graphs {', '.join(names)} ...", flush=True)
    command = [str(PYTHON), "-m", "benchmarks.graphs", str(work / "graphs"), str(images[counts[-1]]), *names]
    cores = len(os.sched_getaffinity(0))
    run_command([*command, "--weights", weights], cores, os.environ, work / "log", GRAPHS_SECONDS)
    return Workload(images, _read_report(work / "log"), weights, work)


def _read_report(log: Path) -> dict[str, Any]:
    """Reads the last line of JSON in the output of a command."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return json.loads(next(line for line in reversed(lines) if line.startswith("{")))


def _count_features(result: Path) -> int:
    """Counts rows of features: of a NumPy file, a Parquet folder, or the first day of `image_features` in a lake."""
    saved = result.with_suffix(".npy")
    if saved.exists():
        return len(np.load(saved, mmap_mode="r"))
    first_day = next(iter(sorted((result / "image_features").glob("day=*"))), result)
    return sum(pq.read_metadata(file).num_rows for file in first_day.rglob("*.parquet"))
