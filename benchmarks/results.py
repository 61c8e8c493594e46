"""Results: one JSON file, rewritten after every run, which an interrupted launch can resume."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plan import Candidate, Run
from benchmarks.processes import Cost

Measured = dict[str, Any]
"""A stored run: experiment, round, candidate, size, cost and the facts that the candidate reported."""


class Results:
    """The runs of a file. A launch replaces the experiments that it measures and keeps the others.

    Attributes:
        file: path of the JSON file.
        launch: date, machine, versions and weights of this launch, and its number of runs per experiment.
        measured: runs in the order of measurement.
    """

    def __init__(self, file: Path, launch: dict[str, Any], resume: bool) -> None:
        """Starts a launch, or resumes the last one in the file.

        Raises:
            ValueError: if the launch to resume ran on another machine.
        """
        self.file = file
        self.launch = launch
        self.measured: list[Measured] = []
        self._others: list[dict[str, Any]] = []
        if not file.exists():
            return
        stored = json.loads(file.read_text(encoding="utf-8"))
        self._others, replaced = stored["launches"], set(launch["run_counts"])
        if resume and self._others:
            last = self._others.pop()
            if last["machine"] != launch["machine"]:
                raise ValueError(f"{file} was measured on another machine; start again without --resume")
            replaced -= set(last["run_counts"])
            for name in ("run_counts", "weights"):
                launch[name] = {**last[name], **launch[name]}
        for other in self._others:
            other["run_counts"] = {name: n for name, n in other["run_counts"].items() if name not in replaced}
        self._others = [other for other in self._others if other["run_counts"]]
        self.measured = [run for run in stored["runs"] if run["experiment"] not in replaced]

    def has(self, experiment: str, round_number: int, run: Run) -> bool:
        """Whether the file has this run."""
        key = _key(experiment, round_number, run)
        return any(key.items() <= measured.items() for measured in self.measured)

    def add(self, experiment: str, round_number: int, run: Run, cost: Cost, facts: dict[str, Any]) -> None:
        """Records a run and rewrites the file."""
        self.measured.append({**_key(experiment, round_number, run), **asdict(cost), "facts": facts})
        draft = self.file.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        content = {"launches": [*self._others, self.launch], "runs": self.measured}
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, self.file)


def label(candidate: Candidate) -> str:
    """The name of a candidate in results and tables, such as `daylight int8`."""
    parts = [candidate.module.rstrip("_"), candidate.graph.rpartition(":")[2], *candidate.arguments]
    name = " ".join(part.lstrip("-") for part in parts if part)
    return f"{name} on 1 core" if candidate.cores == 1 and candidate.module != "bare" else name


def _key(experiment: str, round_number: int, run: Run) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "round": round_number,
        "candidate": label(run.candidate),
        "graph": run.candidate.graph,
        "images": run.image_count,
    }
