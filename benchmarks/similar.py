"""More like this: recall, time and memory of the exact search over generated features, against plain NumPy.

    python -m benchmarks.similar [--count N] [--dimension N] [--queries N] [--work FOLDER]

The features are written as a run writes them, in files of 50,000 rows. Recall is the share of the nearest ids that
brute force in float32 finds, over one file after the other. `--keep` leaves the lake for another run.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from pipeline.reviews.answers import AnswerBook, Key
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.vectors import to_matrix
from resources.review.similar_images import COUNT, SimilarImages

DAY: Final = date(2026, 11, 27)
FILE_ROWS: Final = 50_000
BATCH_ROWS: Final = 1_000
FEATURES: Final = pa.schema({"image_id": pa.string(), "features": pa.list_(pa.float32()), "backbone": pa.string()})


def main() -> None:
    """Measures the search and prints a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=1_280)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    lake = options.work or Path(tempfile.mkdtemp(prefix="similar"))
    if not (lake / "image_features").exists():
        generate(lake, options.count, options.dimension)
    measure(lake, options.queries)
    if not options.keep:
        shutil.rmtree(lake)


def generate(lake: Path, count: int, dimension: int) -> None:
    """Writes features around a thousand centres, so that the nearest are near."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((1_000, dimension), np.float32)
    folder = lake / "image_features"
    schema = pa.schema({"day": pa.date32(), **{field.name: field.type for field in FEATURES}})
    write_deltalake(folder, schema.empty_table(), partition_by=["day"])
    files = []
    for start in range(0, count, FILE_ROWS):
        rows = min(FILE_ROWS, count - start)
        batches = _batches(random, centres, start, rows)
        files += list(write_batches(batches, FEATURES, f"{folder}/day={DAY}", None, CpuTimer()))
    statistics_ = [f'{{"numRecords": {file["rows"]}}}' for file in files]
    actions = [
        AddAction(f"day={DAY}/{file['path']}", file["size"], {"day": str(DAY)}, int(time.time() * 1000), True, counted)
        for file, counted in zip(files, statistics_, strict=True)
    ]
    delta = DeltaTable(folder)
    delta.create_write_transaction(actions, "append", delta.schema(), ["day"])


def _batches(random: np.random.Generator, centres: np.ndarray, start: int, count: int) -> Iterator[pa.RecordBatch]:
    for first in range(start, start + count, BATCH_ROWS):
        rows = min(BATCH_ROWS, start + count - first)
        noise = random.standard_normal((rows, centres.shape[1]), np.float32)
        vectors = centres[random.integers(len(centres), size=rows)] + noise
        offsets = np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32)
        ids = pa.array([f"{number:064x}" for number in range(first, first + rows)])
        features = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))
        yield pa.RecordBatch.from_arrays([ids, features, pa.array(["b"] * rows)], schema=FEATURES)


def measure(lake: Path, query_count: int) -> None:
    """Searches for the first image and others, and compares them with brute force."""
    similar = SimilarImages(str(lake), AnswerBook())
    delta = DeltaTable(lake / "image_features")
    paths = sorted(delta.file_uris())
    count = sum(pq.read_metadata(path).num_rows for path in paths)
    keys = [Key(DAY, f"{number:064x}") for number in np.linspace(0, count - 1, query_count).astype(int)]
    seconds, cpu_seconds, found = [], [], {}
    for key in keys:
        started, cpu_started = time.monotonic(), time.process_time()
        found[key] = [name for name, _ in similar.rank(key)]
        seconds.append(time.monotonic() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    expected = search_by_brute_force(paths, keys)
    recall = statistics.mean(len({*found[key]} & {*expected[key]}) / len(expected[key]) for key in keys)
    print(f"{count} images, {query_count} queries")
    print(f"recall {recall:.4f}")
    print(f"seconds {', '.join(f'{each:.2f}' for each in seconds)}; median {statistics.median(seconds):.2f}")
    print(f"CPU-seconds, of all threads: median {statistics.median(cpu_seconds):.2f}")
    print(f"peak memory {peak_gib:.2f} GiB")


def search_by_brute_force(paths: Sequence[str], keys: Sequence[Key]) -> dict[Key, list[str]]:
    """Finds the `COUNT` nearest of each image with NumPy alone, keeping all cosines."""
    ids, cosines = [], []
    wanted = {key.image_id for key in keys}
    queries: dict[str, np.ndarray] = {}
    for path in paths:
        table = pq.read_table(path, columns=["image_id", "features"], partitioning=None)
        for row, name in enumerate(table["image_id"].to_pylist()):
            if name in wanted:
                queries[name] = to_matrix(table["features"].slice(row, 1))[0]
    matrix = np.stack([queries[key.image_id] / np.linalg.norm(queries[key.image_id]) for key in keys], axis=1)
    for path in paths:
        table = pq.read_table(path, columns=["image_id", "features"], partitioning=None)
        vectors = to_matrix(table["features"])
        ids += table["image_id"].to_pylist()
        cosines.append(vectors @ matrix / np.linalg.norm(vectors, axis=1, keepdims=True))
    all_cosines = np.concatenate(cosines)
    nearest = {}
    for column, key in enumerate(keys):
        order = np.argsort(-all_cosines[:, column], kind="stable")[: COUNT + 1]
        nearest[key] = [ids[place] for place in order if ids[place] != key.image_id][:COUNT]
    return nearest


if __name__ == "__main__":
    main()
