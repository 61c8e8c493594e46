"""Candidate pairs: time and memory to find them, their growth with the number of images, and what an index misses.

    python -m benchmarks.neighbours
    python -m benchmarks.neighbours 200 400 --dimension 64 --exact 100

Embeddings are generated, with variances that fall off like those of photos and without clusters, which is the hardest
case for an index. One in fifty has a near-duplicate, as different from it as eight kinds of changes make a photo. The
later comparison of pixels is not measured, since it needs photos.

Each measurement is a process of its own. Memory is the largest sum over all its processes of what they do not share.
Brute force compares a thousand near-duplicates with all images.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from benchmarks.processes import run_command
from benchmarks.sampler import MemoryOfAll
from pipeline.similarity.axes import fit_whitening
from pipeline.similarity.block_pairs import NEIGHBOUR_COUNT
from pipeline.similarity.candidate_pairs import (
    EXACT_COUNT,
    MIN_NEAREST_SIMILARITY,
    MIN_SIMILARITY,
    SAMPLE_COUNT,
    find_candidate_pairs,
)
from pipeline.similarity.samples import sample_vectors
from pipeline.storage.vectors import to_matrix
from resources.spark.session import SparkResource

DECAY: Final = 0.35
"""Exponent of 1 / n that gives the deviation of the n-th component, about that of EfficientNet-Lite0 on clothing."""

DUPLICATE_EVERY: Final = 50
DUPLICATE_NOISES: Final = (0.1, 0.25, 0.2, 0.65, 0.45, 0.45, 0.7, 0.7)
"""Noise of near-duplicates, as shares of the deviation between images.

They give the median whitened cosines of photos of clothing and packages changed by `benchmarks.planted`: re-encoded,
smaller, larger, cropped, mirrored, rotated, cropped and mirrored, cropped and scaled.
"""

QUERY_COUNT: Final = 1_000
LIMIT_SECONDS: Final = 7200.0


def main() -> None:
    """Prints one row per count, and the exponents of growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--exact", type=int, default=EXACT_COUNT, help="images up to which all pairs are compared")
    parser.add_argument("--dimension", type=int, default=1_280)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--step", help="internal: a step to run in this process")
    parser.add_argument("--folder", type=Path, help="internal: its folder")
    options = parser.parse_args()
    if options.step:
        steps = {"prepare": prepare, "search": search, "recall": measure_recall}
        print(json.dumps(steps[options.step](options)))
        return
    seconds: dict[int, float] = {}
    print("| images | pairs | wall s | CPU-s | MiB of all processes | of brute force's near-duplicates | planted |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            run_step("prepare", count, options, Path(folder))
            found = run_step("search", count, options, Path(folder))
            recall = run_step("recall", count, options, Path(folder))
        seconds[count] = found["cpu"]
        cells = [f"{found[name]:,.0f}" for name in ("pairs", "wall", "cpu", "mebibytes")]
        shares = f"{recall['found']:.4f} | {recall['planted']:.4f} (brute force {recall['planted_by_force']:.4f})"
        print(f"| {count:,} | {' | '.join(cells)} | {shares} |", flush=True)
    for smaller, larger in zip(options.counts, options.counts[1:], strict=False):
        exponent = math.log(seconds[larger] / seconds[smaller]) / math.log(larger / smaller)
        print(f"from {smaller:,} to {larger:,}: CPU-seconds grow with the power {exponent:.2f}")


def run_step(step: str, count: int, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Runs a step in a process of its own, and returns what it printed, with its costs."""
    sizes = {"exact": options.exact, "dimension": options.dimension, "cores": options.cores}
    command = [sys.executable, "-m", "benchmarks.neighbours", str(count), "--step", step, "--folder", str(folder)]
    command += [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    log = folder / f"{step}.log"
    with MemoryOfAll() as memory:
        cost = run_command(command, options.cores, os.environ, log, LIMIT_SECONDS)
    found = json.loads(log.read_text().splitlines()[-1])
    return {"wall": cost.wall_seconds, "cpu": cost.cpu_seconds, "mebibytes": memory.peak_mebibytes, **found}


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Writes embeddings; image n of the last fiftieth is a near-duplicate of image n - count x 49/50."""
    (count,) = options.counts
    numbers = _start(options).range(0, count, 1, 16)
    made = numbers.mapInArrow(_make(count, options.dimension), "image_id string, features array<float>")
    made.write.parquet(str(options.folder / "features"))
    return {}


def search(options: argparse.Namespace) -> dict[str, Any]:
    """Finds the candidate pairs and writes them."""
    features = _start(options).read.parquet(str(options.folder / "features"))
    pairs = find_candidate_pairs(features, options.exact)
    pairs.write.parquet(str(options.folder / "pairs"))
    return {"pairs": pq.read_table(options.folder / "pairs", columns=[]).num_rows}


def measure_recall(options: argparse.Namespace) -> dict[str, Any]:
    """Compares some near-duplicates with all images, by brute force in the same whitened space."""
    (count,) = options.counts
    spark = _start(options)
    _, sample = sample_vectors(spark.read.parquet(str(options.folder / "features")), SAMPLE_COUNT)
    whitening = fit_whitening(sample)
    spark.stop()
    first_duplicate = count - count // DUPLICATE_EVERY
    numbers = np.unique(np.linspace(first_duplicate, count - 1, QUERY_COUNT).astype(int))
    wanted = {_name(number): place for place, number in enumerate(numbers.tolist())}
    queries = np.zeros((len(numbers), whitening.matrix.shape[1] + 1), np.float32)
    for ids, vectors in _read(options.folder / "features"):
        rows = [row for row, name in enumerate(ids) if name in wanted]
        if rows:
            queries[[wanted[name] for name in ids[rows]]] = whitening.apply(vectors[rows])
    names = np.full((len(queries), NEIGHBOUR_COUNT), None, object)
    values = np.full(names.shape, -np.inf, np.float32)
    for ids, vectors in _read(options.folder / "features"):
        similarities = queries @ whitening.apply(vectors).astype(np.float32).T
        own = [row for row, name in enumerate(ids) if name in wanted]
        similarities[[wanted[name] for name in ids[own]], own] = -np.inf
        near = np.argpartition(similarities, -min(NEIGHBOUR_COUNT, len(ids)), axis=1)[:, -NEIGHBOUR_COUNT:]
        names = np.hstack([names, ids[near]])
        values = np.hstack([values, np.take_along_axis(similarities, near, axis=1)])
        nearest = np.argsort(-values, axis=1, kind="stable")[:, :NEIGHBOUR_COUNT]
        names, values = (np.take_along_axis(each, nearest, axis=1) for each in (names, values))
    kept = values >= np.where(np.arange(NEIGHBOUR_COUNT) == 0, MIN_NEAREST_SIMILARITY, MIN_SIMILARITY)
    by_force = {
        _pair(_name(number), names[row, rank])
        for row, number in enumerate(numbers.tolist())
        for rank in np.flatnonzero(kept[row])
    }
    planted = {_pair(_name(number), _name(number - first_duplicate)) for number in numbers.tolist()}
    stored = pq.read_table(options.folder / "pairs")
    found = set(zip(stored["image_id"].to_pylist(), stored["near_duplicate_id"].to_pylist(), strict=True))
    return {
        "found": len(by_force & found) / max(1, len(by_force)),
        "planted": len(planted & found) / len(planted),
        "planted_by_force": len(planted & by_force) / len(planted),
    }


def _read(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for file in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(8192):
            yield batch["image_id"].to_numpy(zero_copy_only=False), to_matrix(batch["features"])


def _pair(one: str, other: str) -> tuple[str, str]:
    return min(one, other), max(one, other)


def _start(options: argparse.Namespace) -> SparkSession:
    return SparkResource(master=f"local[{options.cores}]", spark_config={}).spark_session


def _make(count: int, dimension: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    first_duplicate = count - count // DUPLICATE_EVERY

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        deviations = np.arange(1, dimension + 1) ** -DECAY
        axes = np.linalg.qr(np.random.default_rng(0).normal(size=(dimension, dimension)))[0] * deviations[:, None]
        axes = axes.astype(np.float32)

        def draw(number: int) -> np.ndarray:
            if number < first_duplicate:
                return _normal(number, dimension)
            noise = DUPLICATE_NOISES[number % len(DUPLICATE_NOISES)]
            return _normal(number - first_duplicate, dimension) + noise * _normal(number, dimension)

        for batch in batches:
            numbers = batch["id"].to_pylist()
            vectors = np.stack([draw(number) for number in numbers]) @ axes + 1
            ids = pa.array([_name(number) for number in numbers])
            yield pa.RecordBatch.from_arrays([ids, pa.array(list(vectors), pa.list_(pa.float32()))], _COLUMNS)

    return make


_COLUMNS: Final = ["image_id", "features"]


def _normal(number: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(number + 1).standard_normal(dimension, np.float32)


def _name(number: int) -> str:
    return f"{number * 2654435761 % 2**32:064x}"


if __name__ == "__main__":
    sys.exit(main())
