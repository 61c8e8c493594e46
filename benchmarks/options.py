"""Options: what part of the plan a launch runs, on which photos, and where its results are kept."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plan import EXPERIMENTS, SIZES


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; leaves with a sentence where it cannot be used."""
    names = [each.name for each in EXPERIMENTS]
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures Daylight beside what else could be used.")
    add = parser.add_argument
    add("--photos", type=Path, metavar="FOLDER", help="JPEGs to repeat; by default the demo's, downloaded")
    add("--rounds", type=int, default=5, help="how often everything is run (5)")
    add("--only", type=_names, default=names, metavar="NAME,...", help=", ".join(names))
    sizes = "numbers of pictures, such as marginal=200,400 floor=50,100; benchmarks/plan.py has the others"
    add("--sizes", nargs="+", type=_size, default=[], metavar="NAME=N,...", help=sizes)
    add("--out", type=Path, default=Path("benchmarks/results.json"), help="where results are kept")
    add("--resume", action="store_true", help="go on with the results that are there")
    work = "for pictures and tables, up to 15 GB; what is made in it is removed at the end"
    add("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="FOLDER", help=work)
    return parser.parse_args(words)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {each.name for each in EXPERIMENTS}:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return names


def _size(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = text.partition("=")
    if name not in SIZES:
        raise argparse.ArgumentTypeError(f"there is no {name}: there are {', '.join(SIZES)}")
    return name, tuple(int(number) for number in numbers.split(","))
