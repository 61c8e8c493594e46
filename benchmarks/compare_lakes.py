"""Compares two lakes value by value: `python -m benchmarks.compare_lakes A B` prints one line per table and model.

It reads Delta tables and model files without Spark. It knows former names, so either lake may come from older code.
The exit status is 1 if predictions, splits, groups or classifier versions differ; other differences are only printed.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake import DeltaTable

KEYS: Final = {
    "images": ["day", "image_id", "path"],
    "training_images": ["image_id", "path"],
    "image_features": ["day", "image_id"],
    "training_features": ["image_id"],
    "near_duplicates": ["image_id", "near_duplicate_id"],
    "training_split": ["image_id"],
    "predictions": ["day", "image_id", "path"],
    "difficulty": ["day"],
    "drift": ["day", "comparison"],
    "review_queue": ["day", "image_id", "path"],
    "reviews": ["day", "image_id"],
    "label_issues": ["image_id", "path"],
}
DECISIVE: Final = {  # the comparison fails if one of these columns differs, or the set of rows
    "predictions": {"predicted_label", "confidence", "probabilities", "decision", "classifier", "backbone"},
    "training_split": {"label", "group", "split"},
}
DECISIVE_MODELS: Final = {"classifier.json", "classifier versions"}
FORMER_TABLES: Final = {"near_duplicates": "training_twins", "training_split": "training_features"}
FORMER_COLUMNS: Final = {"twin_id": "near_duplicate_id"}
SPLIT_COLUMNS: Final = {"label", "split", "split_alone", "group"}  # older code stored them in training_features
MISSING: Final = "(missing)"

Note = tuple[str, bool]  # a difference in words, and whether it is decisive
Difference = tuple[str, Any, Any]  # a place inside a nested value, and the two values there


def main() -> None:
    """Compares two lakes and exits with 1 if a decisive value differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lakes", nargs=2, type=Path, metavar="LAKE")
    lakes = parser.parse_args().lakes
    for lake in lakes:
        if not lake.is_dir():
            parser.error(f"there is no folder {lake}")
    results: dict[str, list[Note]] = {}
    for name in KEYS:
        tables = [read_table(lake, name) for lake in lakes]
        rows = " / ".join("no table" if table is None else f"{len(table)} rows" for table in tables)
        results[f"{name} ({rows})"] = list(compare_tables(name, *tables))
    results |= compare_models(*(lake / "models" for lake in lakes))
    for name, notes in results.items():
        mark = "FAIL" if any(decisive for _, decisive in notes) else "diff" if notes else "ok  "
        print(f"{mark} {name}: {'; '.join(text for text, _ in notes) or 'equal'}")
    sys.stdout.flush()
    os._exit(any(decisive for notes in results.values() for _, decisive in notes))  # native threads may abort an exit


def read_table(lake: Path, name: str) -> pa.Table | None:
    """Reads a table under its present or former name and renames its columns; None if the lake has neither."""
    stored = [each for each in (name, FORMER_TABLES.get(name, name)) if DeltaTable.is_deltatable(str(lake / each))]
    if not stored:
        return None
    table = DeltaTable(lake / stored[0]).to_pyarrow_table()
    table = table.rename_columns([FORMER_COLUMNS.get(column, column) for column in table.column_names])
    wanted = set(table.column_names) - {"modified_at"}
    if stored[0] == "training_features":
        wanted = wanted - SPLIT_COLUMNS if name == stored[0] else SPLIT_COLUMNS | {"image_id"}
    return table.select(sorted(wanted))


def compare_tables(name: str, one: pa.Table | None, other: pa.Table | None) -> Iterator[Note]:
    """Compares rows by key and columns by name; the order of either does not matter."""
    decisive: set[str] = DECISIVE.get(name, set())
    if one is None or other is None:
        if one is not other or decisive:
            yield "not in both lakes", bool(decisive)
        return
    ours, theirs = _index(one, KEYS[name]), _index(other, KEYS[name])
    types, other_types = ({column.name: column.type for column in table.schema} for table in (one, other))
    for lake, rows, columns in (
        ("A", ours.keys() - theirs.keys(), types.keys() - other_types.keys()),
        ("B", theirs.keys() - ours.keys(), other_types.keys() - types.keys()),
    ):
        if rows:
            yield f"{len(rows)} rows only in {lake}, first {min(rows)}", bool(decisive)
        if columns:
            yield f"columns only in {lake}: {', '.join(sorted(columns))}", bool(decisive & columns)
    shared = sorted(ours.keys() & theirs.keys())
    for column in sorted(types.keys() & other_types.keys()):
        if types[column] != other_types[column]:
            yield f"{column} has type {types[column]} / {other_types[column]}", False
        found = {key: list(find_differences(ours[key][column], theirs[key][column])) for key in shared}
        if unequal := [key for key in shared if found[key]]:
            text = _summarize([difference for key in unequal for difference in found[key]])
            yield f"{column} differs in {len(unequal)} rows, first {unequal[0]}{text}", column in decisive


def compare_models(one: Path, other: Path) -> dict[str, list[Note]]:
    """Compares the models in use, the models stored, and every number of their evaluations."""
    ours, theirs = _read_models(one), _read_models(other)
    notes: dict[str, list[Note]] = {f"models/{name}": [] for name in sorted(ours | theirs)}
    for name in ours | theirs:
        if found := list(find_differences(ours.get(name, MISSING), theirs.get(name, MISSING))):
            text = f"{len(found)} values differ, first{_summarize(found)}"
            notes[f"models/{name}"].append((text, name in DECISIVE_MODELS))
    return notes


def find_differences(one: Any, other: Any, place: str = "") -> Iterator[Difference]:
    """Yields the unequal leaves of two nested values; NaN equals NaN."""
    if one == other or (one != one and other != other):
        return
    if isinstance(one, list) and isinstance(other, list):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one | other:
            yield from find_differences(one.get(key, MISSING), other.get(key, MISSING), f"{place}/{key}")
    else:
        yield place, one, other


def _read_models(folder: Path) -> dict[str, Any]:
    """Reads which models are in use, which are stored, and how classifiers were evaluated."""
    models = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    stored = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("classifier/*/evaluation.json")}
    models["backbone digests"] = sorted(path.stem for path in folder.glob("backbone/*.onnx"))
    models["classifier versions"] = sorted(stored)
    models["evaluation in use"] = stored.get(models.get("classifier.json", {}).get("classifier"))
    return models | {f"evaluation of {version}": evaluation for version, evaluation in stored.items()}


def _index(table: pa.Table, key: list[str]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist(maps_as_pydicts="strict"):
        text = " ".join(str(row[name]) for name in key)
        rows[text if text not in rows else f"{text} ({len(rows)})"] = row
    return rows


def _summarize(found: list[Difference]) -> str:
    """Describes the first difference, and the largest between two numbers."""
    pairs = [(one, other) for _, one, other in found if isinstance(one, int | float) and isinstance(other, int | float)]
    largest = f", max {max(abs(one - other) for one, other in pairs):.3g}" if pairs else ""
    return "{}: {!r:.60} / {!r:.60}{}".format(*found[0], largest)


if __name__ == "__main__":
    main()
