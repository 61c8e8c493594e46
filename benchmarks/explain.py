"""Duration of `make explain` in a synthetic lake of a million predictions.

python -m benchmarks.explain                  # 300 days, a million files, 50 classifiers, in a temporary folder
python -m benchmarks.explain --rows 100000 --rounds 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.training.training_set import TRAINING_SET
from resources.lake.commits import WHOLE_TABLE, replace_rows

FIRST_DAY = date(2026, 1, 1)
LABELS = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt"]
FULL_DAYS = 3
"""Last days, which also have images and features; the explained images are among them."""

IMAGE_BYTES = 20_000
DIMENSION = 1_280
TRAINING_FILES = 3_000
CLASSIFIERS = 50
TASKS = 2
NOW = datetime(2026, 11, 22, tzinfo=UTC)
TEXT, VECTOR = pa.string(), pa.list_(pa.float32())
WORK = """
import sys, time
from pipeline.daily.trace_text import format_trace
from resources.image_traces import ImageTraces
started, cpu_started = time.perf_counter(), time.process_time()
text = format_trace(ImageTraces(sys.argv[1]).find(sys.argv[2]))
print(time.perf_counter() - started, time.process_time() - cpu_started, len(text))
"""


def main() -> None:
    """Makes the lake, explains images by different references, and prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of predictions")
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daylight-explain-") as folder:
        started = time.perf_counter()
        make_lake(folder, options.days, options.rows // options.days)
        megabytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6
        print(f"made a lake of {megabytes:,.0f} MB in {time.perf_counter() - started:.0f} s")
        day = FIRST_DAY + timedelta(days=options.days - 1)
        path, image_id = name_path(options.days - 1, 7), digest(options.days - 1, 7)
        print("| reference | work s, median (range) | CPU-seconds | start s |\n| --- | --- | --- | --- |")
        for kind, text in {
            "day and path": f"/data/images/days/{day}/{path}",
            "path": path,
            "image_id": image_id,
            "8 digits of image_id": image_id[:8],
            "labelled path": f"training/dress/{TRAINING_FILES // 2}.jpg",
        }.items():
            seconds = [explain(folder, text) for _ in range(options.rounds)]
            work, cpu, start = ([each[place] for each in seconds] for place in range(3))
            spread = f"{statistics.median(work):.2f} ({min(work):.2f} to {max(work):.2f})"
            print(f"| {kind} | {spread} | {statistics.median(cpu):.2f} | {statistics.median(start):.2f} |")


def explain(lake: str, text: str) -> tuple[float, float, float]:
    """Seconds of work, its CPU-seconds, and seconds to start Python and import."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", WORK, lake, text], capture_output=True, text=True, check=True)  # noqa: S603
    work, cpu = map(float, done.stdout.split()[:2])
    return work, cpu, time.perf_counter() - started - work


def make_lake(lake: str, day_count: int, row_count: int) -> None:
    """Makes all tables that the command reads, one commit per day."""
    for number in range(day_count):
        write_day(f"{lake}/predictions", number, make_predictions(number, row_count))
        if number >= day_count - FULL_DAYS:
            write_day(f"{lake}/images", number, make_images(number, row_count))
            write_day(f"{lake}/image_features", number, make_features(number, row_count))
    ids = [digest(-1, row) for row in range(TRAINING_FILES)]
    columns = {
        "image_id": ids,
        "path": [f"{LABELS[row % 10]}/{row}.jpg" for row in range(TRAINING_FILES)],
        "label": [LABELS[row % 10] for row in range(TRAINING_FILES)],
        "split": ["holdout" if row % 5 == 0 else "train" for row in range(TRAINING_FILES)],
    }
    listed = pa.table(columns, schema=TRAINING_SET)
    write_whole(f"{lake}/training_images", add_files(listed.drop_columns("split")))
    write_whole(f"{lake}/training_features", add_vectors(listed.select(["image_id"])))
    write_whole(f"{lake}/training_split", listed.drop_columns("path"))
    near_duplicates = pa.table(
        {"image_id": ids[0:600:2], "near_duplicate_id": ids[1:600:2], "correlation": [0.97] * 300}
    )
    write_whole(f"{lake}/near_duplicates", near_duplicates)
    for number in range(CLASSIFIERS):
        write_classifier(Path(lake, "models", "classifier", f"{number:016x}"), listed)


def write_classifier(folder: Path, listed: pa.Table) -> None:
    """Writes the files beside a stored classifier."""
    folder.mkdir(parents=True)
    report = {"accuracy": 0.9, "train_count": 2400, "holdout_count": 600, "backbone": "8d" * 32}
    (folder / "evaluation.json").write_text(json.dumps(report))
    pq.write_table(listed.sort_by("image_id"), folder / "training_set.parquet", compression="zstd")


def write_day(folder: str, number: int, rows: pa.Table) -> None:
    """Writes a day in one commit, as two tasks do."""
    day = FIRST_DAY + timedelta(days=number)
    rows = rows.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))
    step = -(-rows.num_rows // TASKS)
    write_files(folder, str(day), [rows.slice(task * step, step) for task in range(TASKS)], "day")


def write_whole(folder: str, rows: pa.Table) -> None:
    """Writes a table without days."""
    write_files(folder, WHOLE_TABLE, [rows], None)


def write_files(folder: str, key: str, parts: Sequence[pa.Table], column: str | None) -> None:
    """Writes and commits files as Daylight does."""
    DeltaTable.create(folder, parts[0].schema, mode="ignore", partition_by=column)
    stored = pa.schema([field for field in parts[0].schema if field.name != column])
    files = [file for part in parts for file in _write(part, stored if column is None else part.schema, folder, column)]
    replace_rows(folder, [Row(**file) for file in files], {key: 0})


def _write(part: pa.Table, schema: pa.Schema, folder: str, column: str | None) -> Iterable[dict[str, object]]:
    return list(write_batches(part.to_batches(), schema, folder, column, CpuTimer()))


def make_predictions(number: int, row_count: int) -> pa.Table:
    """A day's rows of `predictions`."""
    random = np.random.default_rng(number)
    shares = random.dirichlet(np.full(len(LABELS), 0.2), row_count)
    best = shares.argmax(axis=1)
    offsets = np.arange(row_count + 1, dtype=np.int32) * len(LABELS)
    confidence = shares.max(axis=1)
    return pa.table(
        {
            "image_id": [digest(number, row) for row in range(row_count)],
            "path": [name_path(number, row) for row in range(row_count)],
            "predicted_label": pa.array(LABELS).take(pa.array(best)),
            "confidence": confidence,
            "probabilities": pa.MapArray.from_arrays(offsets, pa.array(LABELS * row_count), pa.array(shares.ravel())),
            "decision": np.where(confidence > 0.7, "answered", "review"),
            "error": pa.nulls(row_count, TEXT),
            "classifier": [f"{number // 10 % CLASSIFIERS:016x}"] * row_count,
            "backbone": ["8d" * 32] * row_count,
        }
    )


def make_images(number: int, row_count: int) -> pa.Table:
    """A day's rows of `images`."""
    rows = range(row_count)
    return add_files(
        pa.table({"image_id": [digest(number, r) for r in rows], "path": [name_path(number, r) for r in rows]})
    )


def make_features(number: int, row_count: int) -> pa.Table:
    """A day's rows of `image_features`."""
    return add_vectors(pa.table({"image_id": [digest(number, row) for row in range(row_count)]}))


def add_files(files: pa.Table) -> pa.Table:
    """Adds the columns of stored files; contents are noise."""
    random, count = np.random.default_rng(0), files.num_rows
    added = {
        "length": pa.array([IMAGE_BYTES] * count, pa.int64()),
        "modified_at": pa.array([NOW] * count, pa.timestamp("us", "UTC")),
        "content": pa.array([random.bytes(IMAGE_BYTES) for _ in range(count)]),
        "read_error": pa.nulls(count, TEXT),
    }
    return pa.table({**dict(zip(files.column_names, files.columns, strict=True)), **added})


def add_vectors(images: pa.Table) -> pa.Table:
    """Adds the columns of features; vectors are noise."""
    count = images.num_rows
    vectors = np.random.default_rng(0).random((count, DIMENSION), np.float32)
    added = {
        "features": pa.array(list(vectors), VECTOR),
        "width": pa.array([400] * count, pa.int32()),
        "height": pa.array([300] * count, pa.int32()),
        "format": ["JPEG"] * count,
        "error": pa.nulls(count, TEXT),
        "backbone": ["8d" * 32] * count,
    }
    return pa.table({**dict(zip(images.column_names, images.columns, strict=True)), **added})


def digest(number: int, row: int) -> str:
    """The `image_id` of an image."""
    return sha256(f"{number} {row}".encode()).hexdigest()


def name_path(number: int, row: int) -> str:
    """The path of a file, named as cameras do."""
    return f"store-{row % 40:02}/IMG_{20260101 + number}_{row * 7919 % 240000:06}_{row:05}.jpg"


if __name__ == "__main__":
    main()
