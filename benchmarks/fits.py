"""Fits: seconds of one logistic regression by MLlib, as of a classifier, and on the driver, as of a fold.

    python -m benchmarks.fits
    python -m benchmarks.fits --rows 500 --dimension 64 --labels 3 --rounds 1

Features are synthetic: noise around a centre per label, with zeros for the negative half as after a ReLU.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from benchmarks.sampler import TICKS, list_descendants
from pipeline.training.fitting import fit_pipeline
from pipeline.training.fold_fits import MLLIB_TOLERANCE
from pipeline.training.heads import head_params
from pipeline.training.params import ClassifierParams
from pipeline.training.softmax.regression import fit_softmax
from resources.spark.session import SparkResource

NOISE = 3.0
"""Deviation within a label, as a multiple of that between labels."""


def main() -> None:
    """Prints wall and CPU-seconds of both, which take turns after a warm-up, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_727, help="images to fit, by default a fold of clothing")
    parser.add_argument("--dimension", type=int, default=1_280)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    features, numbers = make_features(options.rows, options.dimension, options.labels)
    spark = SparkResource(master=f"local[{options.cores}]", spark_config={}).spark_session
    train, params = store(spark, features, numbers), ClassifierParams()
    settings = head_params(params.head, params.params)

    def fit_with_mllib() -> None:
        fit_pipeline(train, params)

    def fit_on_driver() -> None:
        vectors = features.astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        fit_softmax(vectors, numbers, settings["regParam"], int(settings["maxIter"]), MLLIB_TOLERANCE)

    fits: dict[str, Callable[[], None]] = {"MLlib": fit_with_mllib, "driver": fit_on_driver}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in fits}
    for number in range(options.rounds + 1):
        for name, fit in fits.items():
            cost = measure(fit)
            if number:
                costs[name].append(cost)
    print(f"{options.rows} x {options.dimension} features, {np.mean(features == 0):.0%} zeros, {options.labels} labels")
    print("| fit | s, median (range) | CPU-seconds |\n| --- | --- | --- |")
    medians = {}
    for name in fits:
        wall, cpu = zip(*costs[name], strict=True)
        medians[name] = statistics.median(wall), statistics.median(cpu)
        print(f"| {name} | {medians[name][0]:.2f} ({min(wall):.2f} to {max(wall):.2f}) | {medians[name][1]:.2f} |")
    ratios = [driver / mllib for driver, mllib in zip(medians["driver"], medians["MLlib"], strict=True)]
    print(f"the driver takes {ratios[0]:.2f} of the time and {ratios[1]:.2f} of the CPU-seconds")


def make_features(count: int, dimension: int, label_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Makes float32 features `[count, dimension]`, half of them zero, and label numbers."""
    random = np.random.default_rng(0)
    numbers = np.arange(count) % label_count
    centres = random.normal(size=(label_count, dimension))
    return np.maximum(centres[numbers] + random.normal(0, NOISE, (count, dimension)), 0).astype(np.float32), numbers


def store(spark: SparkSession, features: np.ndarray, numbers: np.ndarray) -> DataFrame:
    """Caches features in two partitions, as a training of this size does."""
    columns = {
        "label": pa.array([f"label {number}" for number in numbers]),
        "features": pa.array(list(features), pa.list_(pa.float32())),
    }
    rows = spark.createDataFrame(pa.table(columns)).repartition(2).cache()
    rows.count()
    return rows


def measure(fit: Callable[[], None]) -> tuple[float, float]:
    """Measures wall and CPU-seconds, those of the JVM included."""
    started, cpu_started = time.perf_counter(), _cpu_seconds()
    fit()
    return time.perf_counter() - started, _cpu_seconds() - cpu_started


def _cpu_seconds() -> float:
    children = sum(int(ticks) for stat in list_descendants(os.getpid()).values() for ticks in stat[11:15])
    return time.process_time() + children / TICKS


if __name__ == "__main__":
    sys.exit(main())
