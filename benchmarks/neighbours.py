"""Candidate pairs: time to compare all embeddings with all, and its growth with their number.

    python -m benchmarks.neighbours

Embeddings are synthetic, of 1,280 numbers with variances that fall off like those of photos; one in fifty has a
near-duplicate. The later comparison of pixels is not measured, since it needs photos.
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
"""Exponent of 1 / n that gives the deviation of the n-th component, about that of EfficientNet-Lite0 on clothing."""

DUPLICATE_EVERY: Final = 50
DUPLICATE_NOISE: Final = 0.2
"""Noise of a near-duplicate, as a share of the deviation between images."""


def main() -> None:
    """Prints time, pairs, recall and memory of the driver for each count, and the exponents of growth."""
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
            print(f"{count} images: {wall:.0f} s, {seconds[count]:.0f} CPU-seconds, {pairs.num_rows} pairs,", end=" ")
            print(
                f"{_recall(pairs, count):.4f} of the near-duplicates found, driver peak {_peak_megabytes():.0f} MB",
                flush=True,
            )
    for smaller, larger in zip(options.counts, options.counts[1:], strict=False):
        exponent = math.log(seconds[larger] / seconds[smaller]) / math.log(larger / smaller)
        print(f"from {smaller} to {larger}: CPU-seconds grow with the power {exponent:.2f}")


def _store(spark: SparkSession, count: int, folder: str) -> DataFrame:
    images = spark.range(0, count, 1, 16).mapInArrow(_make(count), "image_id string, features array<float>")
    images.write.parquet(folder)
    return spark.read.parquet(folder)


def _make(count: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Makes embeddings; image n of the last fiftieth is a near-duplicate of image n - count x 49/50."""
    first_duplicate = count - count // DUPLICATE_EVERY

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        deviations = np.arange(1, DIMENSION + 1) ** -DECAY
        axes = np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION)))[0] * deviations[:, None]
        for batch in batches:
            numbers = batch["id"].to_pylist()
            own = np.array(
                [_normal(number - first_duplicate if number >= first_duplicate else number) for number in numbers]
            )
            noise = np.array(
                [DUPLICATE_NOISE * _normal(number) if number >= first_duplicate else _NOTHING for number in numbers]
            )
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
    first_duplicate = count - count // DUPLICATE_EVERY
    planted = [tuple(sorted((_name(n), _name(n - first_duplicate)))) for n in range(first_duplicate, count)]
    return sum(pair in found for pair in planted) / len(planted)


def _cpu_seconds() -> float:
    """Sums CPU-seconds of this process and its live children, which vary less than wall time on a busy machine."""
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
    """Returns the peak memory of this process, without the JVM."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
