"""Two lakes are equal, or the comparison names the first difference and fails where it is decisive."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

PROJECT = Path(__file__).parents[2]
DAY = date(2026, 11, 20)


def compare(one: Path, other: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "benchmarks.compare_lakes", one, other]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout


def change(column: str, value: Callable[[object], object], lake: Path, table: str) -> None:
    """Changes the first value of a column."""
    rows = DeltaTable(lake / table).to_pyarrow_table()
    values = rows[column].to_pylist()
    place = rows.column_names.index(column)
    changed = pa.array([value(values[0]), *values[1:]], rows.schema.field(column).type)
    write_deltalake(lake / table, rows.set_column(place, rows.schema.field(column), changed), mode="overwrite")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    ids = ["a" * 64, "b" * 64]
    probabilities = pa.array([[("hat", 0.75), ("shoe", 0.25)]] * 2, pa.map_(pa.string(), pa.float64()))
    predictions = {
        "day": [DAY] * 2,
        "image_id": ids,
        "path": ["1.jpg", "2.jpg"],
        "predicted_label": ["hat", "hat"],
        "confidence": [0.75, 0.75],
        "probabilities": probabilities,
        "decision": ["answered", "review"],
    }
    split = {"image_id": ids, "label": ["hat", "shoe"], "group": ids, "split": ["train", "holdout"]}
    write_deltalake(root / "predictions", pa.table(predictions))
    write_deltalake(root / "training_split", pa.table(split))
    write_deltalake(root / "reviews", pa.table({"day": [DAY], "image_id": ids[:1], "answer": ["hat"]}))
    (root / "models" / "classifier" / "1").mkdir(parents=True)
    (root / "models" / "classifier" / "1" / "evaluation.json").write_text(json.dumps({"accuracy": 0.9}))
    (root / "models" / "classifier.json").write_text(json.dumps({"classifier": "1"}))
    return root


@pytest.fixture
def copy(lake: Path, tmp_path: Path) -> Path:
    return shutil.copytree(lake, tmp_path / "copy")


def test_a_copy_is_equal(lake: Path, copy: Path) -> None:
    code, output = compare(lake, copy)
    assert code == 0
    assert all(line.startswith("ok ") for line in output.splitlines())


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("predictions", "confidence", lambda value: math.nextafter(value, 2)),
        ("predictions", "probabilities", lambda value: [("hat", math.nextafter(0.75, 2)), ("shoe", 0.25)]),
        ("predictions", "decision", lambda value: "rejected"),
        ("predictions", "path", lambda value: "3.jpg"),
        ("training_split", "split", lambda value: "holdout"),
        ("training_split", "group", lambda value: "c" * 64),
    ],
)
def test_a_changed_prediction_or_split_fails(
    lake: Path, copy: Path, table: str, column: str, value: Callable[[object], object]
) -> None:
    change(column, value, copy, table)
    code, output = compare(lake, copy)
    assert code == 1
    (failed,) = [line for line in output.splitlines() if line.startswith("FAIL")]
    assert failed.startswith(f"FAIL {table} ")


def test_a_changed_review_is_printed_and_does_not_fail(lake: Path, copy: Path) -> None:
    change("answer", lambda value: "shoe", copy, "reviews")
    code, output = compare(lake, copy)
    assert code == 0
    assert "diff reviews" in output


def test_another_classifier_in_use_fails(lake: Path, copy: Path) -> None:
    (copy / "models" / "classifier.json").write_text(json.dumps({"classifier": "2"}))
    assert compare(lake, copy)[0] == 1


def test_a_missing_table_fails(lake: Path, copy: Path) -> None:
    shutil.rmtree(copy / "predictions")
    assert compare(lake, copy)[0] == 1
