"""The harness: runs the plan, round by round, and notes what every run took."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.course import PEER_PYTHON, PYTHON, Course, prepare
from benchmarks.machine import PACKAGES, PEER_PACKAGES, describe_machine, list_versions
from benchmarks.options import read_options
from benchmarks.plan import EXPERIMENTS, SIZES, Run, estimate_seconds
from benchmarks.processes import ContestantError
from benchmarks.results import Results, label

Step = tuple[str, int, Run]
"""Name of the experiment, number of the round, and the run."""


def main() -> None:
    """Runs the plan, or the part of it that was asked for."""
    options = read_options()
    steps = _list_steps(options.only, options.rounds, {**SIZES, **dict(options.sizes)})
    first_round = Counter(experiment for experiment, number, _ in steps if number == 0)
    try:
        results = Results(options.out, {**_describe_launch(), "run_counts": first_round}, options.resume)
    except ValueError as error:
        sys.exit(str(error))
    steps = [step for step in steps if not results.has(*step)]
    minutes = sum(estimate_seconds(wanted) for *_, wanted in steps) / 60
    print(f"{len(steps)} runs in {options.rounds} rounds, about {minutes:.0f} minutes", flush=True)
    if not steps:
        return
    options.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="bench", dir=options.work)).resolve()
    try:
        _run_all(steps, results, prepare([wanted for *_, wanted in steps], options.photos, work))
    except ContestantError as error:
        sys.exit(f"{error}\nWhat was measured is kept in {options.out}: --resume goes on from there")
    finally:
        shutil.rmtree(work)


def _list_steps(names: Sequence[str], rounds: int, sizes: Mapping[str, Sequence[int]]) -> list[Step]:
    return [
        (experiment.name, number, wanted)
        for number in range(rounds)
        for experiment in EXPERIMENTS
        if experiment.name in names and number < (experiment.rounds or rounds)
        for wanted in experiment.runs(number, sizes)
    ]


def _describe_launch() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": list_versions(PYTHON, PACKAGES),
        "peer_versions": list_versions(PEER_PYTHON, PEER_PACKAGES),
    }


def _run_all(steps: Sequence[Step], results: Results, course: Course) -> None:
    results.about["weights"] = {
        **results.about.get("weights", {}),
        **{name: graph["weights"] for name, graph in course.graphs.items()},
    }
    starts = [wanted for *_, wanted in steps if wanted.contestant.module == "daylight"]
    if starts:
        print("Starting Spark once, uncounted ...", flush=True)
        course.warm_up(min(starts, key=estimate_seconds))
    for position, (experiment, number, wanted) in enumerate(steps, 1):
        cost, facts = course.measure(wanted)
        results.add(experiment, number, wanted, cost, facts)
        print(
            f"{position}/{len(steps)} round {number + 1} {experiment}: {label(wanted.contestant)},"
            f" {wanted.picture_count} pictures: {cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
