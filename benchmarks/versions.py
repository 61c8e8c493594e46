"""Versions: the tables of one day are equal, whichever Spark and Python make them.

    make test-spark VERSION=4.0 TESTS=tests/storage     # makes the environment
    python -m benchmarks.versions FOLDER .venv/bin/python .venv-spark-4.0-python3/bin/python

FOLDER is a training folder. Of each label some images are labelled, others arrive on one day. Each Python runs a
training and the day into a lake of its own; all lakes are compared with the first, value by value. The exit status is 1
if any value differs.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.compare_lakes import KEYS, compare_tables, find_differences, read_table

PROJECT: Final = Path(__file__).parents[1]
DAY: Final = "2026-11-20"
VERSION: Final = "classifier"
TOLERANCE: Final = 1e-12  # of the numbers of an evaluation, which no table holds
VERSIONS: Final = "import platform, pyspark; print(f'Spark {pyspark.__version__}, Python {platform.python_version()}')"


def main() -> None:
    """Prints a line for each lake, and one for each table or model that differs from the first lake's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--labelled", type=int, default=30, help="labelled images of each label")
    parser.add_argument("--arriving", type=int, default=10, help="images of each label on the day")
    parser.add_argument("--backbone", default="efficientnet-lite0")
    options = parser.parse_args()
    differs = False
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(options.folder, root / "landing", options.labelled, options.arriving)
        lakes = [root / f"lake {number}" for number in range(len(options.pythons))]
        for python, lake in zip(options.pythons, lakes, strict=True):
            started = time.monotonic()
            name = make_lake(python, root / "landing", lake, options.backbone)
            found = list(compare(lakes[0], lake))
            differs |= bool(found)
            print(f"{name}: {describe(lake)}, {time.monotonic() - started:.0f} s", flush=True)
            print("\n".join(found) or "  equal to the first", flush=True)
    sys.stdout.flush()
    os._exit(differs)  # native threads may abort an exit


def lay_out(folder: Path, landing: Path, labelled: int, arriving: int) -> None:
    """Links the first images of each label into the training folder and the next into the day's."""
    for label in sorted(each for each in folder.iterdir() if each.is_dir()):
        files = sorted(label.iterdir())[: labelled + arriving]
        for number, file in enumerate(files):
            place = f"training/{label.name}" if number < labelled else f"days/{DAY}"
            (landing / place).mkdir(parents=True, exist_ok=True)
            (landing / place / f"{label.name} {file.name}").symlink_to(file.resolve())


def make_lake(python: str, landing: Path, lake: Path, backbone: str) -> str:
    """Runs a training and the day, and returns the versions of a Python as text.

    Raises:
        subprocess.CalledProcessError: if a job fails; its output is on the terminal.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DAYLIGHT_")}
    environment = kept | {
        "PYTHONPATH": str(PROJECT),
        "DAYLIGHT_LANDING": str(landing),
        "DAYLIGHT_LAKE": str(lake),
        "DAYLIGHT_BACKBONE": backbone,
        "DAYLIGHT_PRECISION": "fp32",  # auto asks the clock
        "DAYLIGHT_ACCURACY_FLOOR": "0",  # of a few labelled images nothing good is learned
        "DAYLIGHT_RECALL_FLOOR": "0",
        "DAYLIGHT_MAX_CALIBRATION_ERROR": "1",
    }
    program = os.path.abspath(python)  # not its target, which knows no environment
    for arguments in (["training"], ["daily", DAY]):
        command = [program, "-m", "assets.commands.job", *arguments]
        done = subprocess.run(command, env=environment, cwd=landing, capture_output=True, text=True, check=False)  # noqa: S603 trusted
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
            done.check_returncode()
    return subprocess.run([program, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 trusted


def compare(first: Path, lake: Path) -> Iterator[str]:
    """Describes all that differs but the classifier's version, a digest of which PySpark's version is a part."""
    for name in KEYS:
        tables = [read_table(each, name) for each in (first, lake)]
        shared = [table and table.drop_columns({VERSION} & set(table.column_names)) for table in tables]
        yield from (f"  {name}: {text}" for text, _ in compare_tables(name, *shared))
    for place, one, other in find_differences(*(read_evaluation(each) for each in (first, lake))):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        if not (numbers and math.isclose(one, other, rel_tol=TOLERANCE)):
            yield f"  evaluation{place}: {one!r:.60} / {other!r:.60}"


def read_evaluation(lake: Path) -> dict[str, Any]:
    """The evaluation of the classifier in use, without its version and those of Spark and Python."""
    version = json.loads((lake / "models" / "classifier.json").read_text())[VERSION]
    found = json.loads((lake / "models" / "classifier" / version / "evaluation.json").read_text())
    return {name: value for name, value in found.items() if name not in (VERSION, "versions")}


def describe(lake: Path) -> str:
    """The tables of a lake with their number of rows, as text."""
    tables = {name: read_table(lake, name) for name in KEYS}
    return ", ".join(f"{name} {len(table)}" for name, table in tables.items() if table is not None)


if __name__ == "__main__":
    main()
