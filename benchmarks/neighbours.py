"""Neighbours: how long it takes to compare all embeddings with all, and how that grows.

    python -m benchmarks.neighbours

Embeddings are synthetic, of 1,280 numbers whose variances fall off as those of photos do; one in fifty has a twin. The
pixels of neighbours are compared afterwards, which costs by the pair; benchmarks of that need photos.
"""

import argparse
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipeline.similarity.candidate_pairs import find_candidate_pairs
from resources.spark.session import SparkResource

DIMENSION: Final = 1280
DECAY: Final = 0.35
"""Deviation of the n-th component, as a power of 1 / n: about that of EfficientNet-Lite0 on photos of clothes."""

TWIN_EVERY: Final = 50
TWIN_NOISE: Final = 0.2
"""As a share of what makes a picture itself."""


def main() -> None:
    """Prints seconds, pairs, recall and memory of the driver for every count, and the exponents of the growth."""
    parser = argparse.ArgumentParser(prog="benchmarks.neighbours", description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[25_000, 50_000, 100_000])
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    spark = SparkResource(master=f"local[{options.cores}]", spark_config={}).spark_session
    seconds: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in options.counts:
            features = _store(spark, count, f"{folder}/{count}")
            started, cpu_started = time.monotonic(), _cpu_seconds()
            pairs = find_candidate_pairs(features).toArrow()
            wall, seconds[count] = time.monotonic() - started, _cpu_seconds() - cpu_started
            print(f"{count} pictures: {wall:.0f} s, {seconds[count]:.0f} CPU-seconds, {pairs.num_rows} pairs,", end=" ")
            print(f"{_recall(pairs, count):.4f} of the twins, driver at {_peak_megabytes():.0f} MB at most", flush=True)
    for smaller, larger in zip(options.counts, options.counts[1:], strict=False):
        exponent = math.log(seconds[larger] / seconds[smaller]) / math.log(larger / smaller)
        print(f"from {smaller} to {larger}: CPU-seconds grow with the power {exponent:.2f}")


def _store(spark: SparkSession, count: int, folder: str) -> DataFrame:
    pictures = spark.range(0, count, 1, 16).mapInArrow(_make(count), "image_id string, features array<float>")
    pictures.write.parquet(folder)
    return spark.read.parquet(folder)


def _make(count: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Picture n of the last fiftieth is the twin of picture n - count x 49/50."""
    first_twin = count - count // TWIN_EVERY

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        deviations = np.arange(1, DIMENSION + 1) ** -DECAY
        axes = np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION)))[0] * deviations[:, None]
        for batch in batches:
            numbers = batch["id"].to_pylist()
            own = np.array([_normal(number - first_twin if number >= first_twin else number) for number in numbers])
            noise = np.array([TWIN_NOISE * _normal(number) if number >= first_twin else _NOTHING for number in numbers])
            vectors = ((own + noise) @ axes + 1).astype(np.float32)
            ids = pa.array([_name(number) for number in numbers])
            lists = pa.ListArray.from_arrays(np.arange(len(numbers) + 1) * DIMENSION, pa.array(vectors.ravel()))
            yield pa.RecordBatch.from_arrays([ids, lists.cast(pa.list_(pa.float32()))], ["image_id", "features"])

    return make


_NOTHING: Final = np.zeros(DIMENSION)


def _normal(number: int) -> np.ndarray:
    return np.random.default_rng(number + 1).normal(size=DIMENSION)


def _name(number: int) -> str:
    return f"{number * 2654435761 % 2**32:064x}"


def _recall(pairs: pa.Table, count: int) -> float:
    found = set(zip(pairs["image_id"].to_pylist(), pairs["near_duplicate_id"].to_pylist(), strict=True))
    first_twin = count - count // TWIN_EVERY
    planted = [tuple(sorted((_name(n), _name(n - first_twin)))) for n in range(first_twin, count)]
    return sum(pair in found for pair in planted) / len(planted)


def _cpu_seconds() -> float:
    """Of this process and all that it started and that still runs: a noisy machine shows less in them."""
    stats = [path.read_text().rpartition(")")[2].split() for path in _stat_files()]
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")


def _stat_files() -> Iterator[Path]:
    waiting = [os.getpid()]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        yield process / "stat"
        for task in process.glob("task/*/children"):
            waiting += map(int, task.read_text().split())


def _peak_megabytes() -> float:
    """Of this process alone, without the JVM."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
