"""The harness: runs the plan round by round and records the cost of every run."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import PACKAGES, PEER_PACKAGES, describe_machine, list_versions
from benchmarks.options import read_options
from benchmarks.plan import EXPERIMENTS, SIZES, Run, estimate_seconds
from benchmarks.processes import CandidateError
from benchmarks.results import Results, label
from benchmarks.workload import PEER_PYTHON, PYTHON, Workload, prepare

Step = tuple[str, int, Run]
"""Name of the experiment, number of the round, and the run."""


def main() -> None:
    """Runs the plan, or the selected part of it."""
    options = read_options()
    steps = _list_steps(options.only, options.rounds, {**SIZES, **dict(options.sizes)})
    first_round = Counter(experiment for experiment, number, _ in steps if number == 0)
    try:
        results = Results(options.out, {**_describe_launch(), "run_counts": first_round}, options.resume)
    except ValueError as error:
        sys.exit(str(error))
    steps = [step for step in steps if not results.has(*step)]
    minutes = sum(estimate_seconds(run) for *_, run in steps) / 60
    print(f"{len(steps)} runs in {options.rounds} rounds, about {minutes:.0f} minutes", flush=True)
    if not steps:
        return
    options.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="bench", dir=options.work)).resolve()
    try:
        workload = prepare([run for *_, run in steps], options.photos, work)
        _run_all(steps, results, workload, options.warm_up)
    except CandidateError as error:
        sys.exit(f"{error}\n{options.out} keeps the finished runs; continue with --resume")
    finally:
        shutil.rmtree(work)


def _list_steps(names: Sequence[str], rounds: int, sizes: Mapping[str, Sequence[int]]) -> list[Step]:
    return [
        (experiment.name, number, run)
        for number in range(rounds)
        for experiment in EXPERIMENTS
        if experiment.name in names and number < (experiment.rounds or rounds)
        for run in experiment.runs(number, sizes)
    ]


def _describe_launch() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": list_versions(PYTHON, PACKAGES),
        "peer_versions": list_versions(PEER_PYTHON, PEER_PACKAGES),
        "weights": {},
    }


def _run_all(steps: Sequence[Step], results: Results, workload: Workload, warm_up: bool) -> None:
    results.launch["weights"] |= {name: graph["weights"] for name, graph in workload.graphs.items()}
    starts = [run for *_, run in steps if run.candidate.module == "daylight"]
    if starts and warm_up:
        print("Starting Spark once, unmeasured ...", flush=True)
        workload.warm_up(min(starts, key=estimate_seconds))
    for position, (experiment, number, run) in enumerate(steps, 1):
        cost, facts = workload.measure(run)
        results.add(experiment, number, run, cost, facts)
        print(
            f"{position}/{len(steps)} round {number + 1} {experiment}: {label(run.candidate)},"
            f" {run.image_count} images: {cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
