"""Options: the part of the plan that a launch runs, its photos, and the file of its results."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plan import EXPERIMENTS, SIZES


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; exits with one sentence if it is invalid."""
    names = [each.name for each in EXPERIMENTS]
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures Daylight against its alternatives.")
    add = parser.add_argument
    add("--photos", type=Path, metavar="FOLDER", help="JPEGs to repeat (default: download those of the demo)")
    add("--rounds", type=int, default=5, help="rounds of every experiment (default: 5)")
    add("--only", type=_names, default=names, metavar="NAME,...", help=f"experiments to run: {', '.join(names)}")
    sizes = "image counts, such as marginal=200,400 floor=50,100 (defaults: benchmarks/plan.py)"
    add("--sizes", nargs="+", type=_size, default=[], metavar="NAME=N,...", help=sizes)
    add("--out", type=Path, default=Path("benchmarks/results.json"), help="file of the results")
    add("--resume", action="store_true", help="continue the last launch in the file")
    warm_up = "do not start Spark once, unmeasured, before the first round"
    add("--no-warm-up", dest="warm_up", action="store_false", help=warm_up)
    work = "folder for images and tables, up to 15 GB, removed at the end"
    add("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="FOLDER", help=work)
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {each.name for each in EXPERIMENTS}:
        raise argparse.ArgumentTypeError(f"no experiment {', '.join(sorted(unknown))}")
    return names


def _size(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = text.partition("=")
    if name not in SIZES:
        raise argparse.ArgumentTypeError(f"no size {name}; choose from {', '.join(SIZES)}")
    return name, tuple(int(number) for number in numbers.split(","))
