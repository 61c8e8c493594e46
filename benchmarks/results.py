"""The results: one file, written whole after every run, from which a launch that was cut off goes on."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plan import Candidate, Run
from benchmarks.processes import Cost

Measured = dict[str, Any]
"""A run as it stands in the file: its experiment, round, contestant, size, cost and what the contestant said."""


class Results:
    """What was measured so far.

    Attributes:
        file: where it is kept.
        about: machine, versions and date of the launch.
        measured: the runs, in the order in which they ran.
    """

    def __init__(self, file: Path, about: dict[str, Any], resume: bool) -> None:
        """Starts empty, or from the file where it is to go on.

        Raises:
            ValueError: where that was measured on another machine.
        """
        self.file = file
        self.about = about
        self.measured: list[Measured] = []
        if resume and file.exists():
            former = json.loads(file.read_text(encoding="utf-8"))
            if former["about"]["machine"] != about["machine"]:
                raise ValueError(f"{file} was measured on another machine: start anew, without --resume")
            self.measured = former["runs"]
            for name in ("run_counts", "weights"):
                self.about[name] = {**former["about"].get(name, {}), **about.get(name, {})}

    def has(self, experiment: str, round_number: int, run: Run) -> bool:
        """Whether a run was measured before."""
        key = _key(experiment, round_number, run)
        return any(key.items() <= measured.items() for measured in self.measured)

    def add(self, experiment: str, round_number: int, run: Run, cost: Cost, facts: dict[str, Any]) -> None:
        """Notes a run, and writes the file anew."""
        self.measured.append({**_key(experiment, round_number, run), **asdict(cost), "facts": facts})
        draft = self.file.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"about": self.about, "runs": self.measured}, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, self.file)


def label(contestant: Candidate) -> str:
    """A contestant in one word, as results and tables have it."""
    words = [contestant.module.rstrip("_"), contestant.graph.rpartition(":")[2], *contestant.words]
    name = " ".join(word.lstrip("-") for word in words if word)
    return f"{name} on 1 core" if contestant.cores == 1 and contestant.module != "bare" else name


def _key(experiment: str, round_number: int, run: Run) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "round": round_number,
        "contestant": label(run.contestant),
        "graph": run.contestant.graph,
        "pictures": run.picture_count,
    }
