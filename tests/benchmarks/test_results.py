"""Results: a launch replaces its own experiments only, and an interrupted one is resumed on the same machine."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.plan import Candidate, Run
from benchmarks.processes import Cost
from benchmarks.results import Results

RUN = Run(Candidate("bare", "tiny:fp32"), 10)
COST = Cost(1.0, 0.0, 2.0, {}, 0)


def launch(*experiments: str, machine: str = "ours", date: str = "2026-11-25") -> dict[str, Any]:
    return {"date": date, "machine": machine, "weights": {}, "run_counts": dict.fromkeys(experiments, 1)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Results of the experiments `cold` and `peers`."""
    results = Results(tmp_path / "results.json", launch("cold", "peers"), resume=False)
    results.add("cold", 0, RUN, COST, {})
    results.add("peers", 0, RUN, COST, {})
    return results.file


def test_a_later_launch_replaces_what_it_measures_and_keeps_the_rest(file: Path) -> None:
    results = Results(file, launch("peers", date="2026-11-29"), resume=False)
    assert (results.has("cold", 0, RUN), results.has("peers", 0, RUN)) == (True, False)
    results.add("peers", 0, RUN, COST, {})
    again = Results(file, launch("again"), resume=False)
    assert [(each["date"], list(each["run_counts"])) for each in again._others] == [
        ("2026-11-25", ["cold"]),
        ("2026-11-29", ["peers"]),
    ]


def test_a_resumed_launch_has_its_runs(file: Path) -> None:
    results = Results(file, launch("cold", "peers", "again"), resume=True)
    assert [results.has(name, 0, RUN) for name in ("cold", "peers", "again")] == [True, True, False]


def test_a_launch_on_another_machine_is_not_resumed(file: Path) -> None:
    with pytest.raises(ValueError, match="another machine"):
        Results(file, launch("peers", machine="theirs"), resume=True)
