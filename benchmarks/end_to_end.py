"""The end-to-end graph against backbone and MLlib: CPU per image, on the same pixels, interleaved.

    python -m benchmarks.end_to_end FOLDER GRAPH...

FOLDER is a training folder. Decoding is the same for both and left out. MLlib predicts every image many times, which
makes the start of its job negligible.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from benchmarks.sampler import TICKS, list_descendants
from pipeline.embed.backbone import Backbone, Embed, embed_with, load_backbone, open_backbone, open_session
from pipeline.embed.decode import decode
from pipeline.images.labels import list_training_files
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.training.classifier import Classifier, predict
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.graph.end_to_end import build_graph
from pipeline.training.params import ClassifierParams
from resources.spark.session import SparkResource

COUNT: Final = 192
REPEATS: Final = 100
"""Rows per image for MLlib."""


def main() -> None:
    """Measures every graph, and prints a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.end_to_end", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    listed = list_training_files(options.folder).labelled.select(["path", "label"]).to_pylist()
    chosen = listed[:: max(1, len(listed) // COUNT)][:COUNT]
    contents = [Path(options.folder, row["path"]).read_bytes() for row in chosen]
    print("| backbone | end-to-end, CPU ms | backbone, CPU ms | MLlib, CPU ms | end-to-end / (both) | range |")
    print("|---|---|---|---|---|---|")
    for graph in options.graphs:
        backbone = open_backbone(graph.resolve())
        pixels = np.stack([decode(content, backbone.size).pixels for content in contents])
        features = _tabulate(load_backbone(backbone.path)(pixels), [row["label"] for row in chosen], backbone)
        classifier = fit_classifier(features, ClassifierParams())
        rounds = measure(backbone, classifier, features, pixels, options.rounds)
        ratios = sorted(whole / (alone + mllib) for whole, alone, mllib in rounds)
        costs = " | ".join(f"{1000 * statistics.median(column):.3f}" for column in zip(*rounds, strict=True))
        summary = f"{statistics.median(ratios):.3f} | {ratios[0]:.3f} to {ratios[-1]:.3f}"
        print(f"| {backbone.name} {backbone.precision} | {costs} | {summary} |", flush=True)


def measure(
    backbone: Backbone, classifier: Classifier, features: DataFrame, pixels: np.ndarray, round_count: int
) -> list[tuple[float, float, float]]:
    """CPU-seconds per image of the end-to-end graph, the backbone and MLlib, by round after a warm-up."""
    many = features.crossJoin(features.sparkSession.range(REPEATS).drop("id")).cache()
    many.count()
    graphs = embed_with(open_session(build_graph(backbone, classifier))), load_backbone(backbone.path)
    rounds = []
    for _ in range(round_count + 1):
        whole, alone = _run_interleaved(graphs, pixels, backbone.batch_size)
        started = _cpu_seconds()
        predict(many, classifier).write.format("noop").mode("overwrite").save()
        mllib = (_cpu_seconds() - started) / (REPEATS * len(pixels))
        rounds.append((whole, alone, mllib))
    return rounds[1:]


def _run_interleaved(graphs: tuple[Embed, Embed], pixels: np.ndarray, batch_size: int) -> list[float]:
    """CPU-seconds per image of each graph; both run on every batch and alternate in going first."""
    seconds = [0.0, 0.0]
    for number, start in enumerate(range(0, len(pixels), batch_size)):
        for each in (0, 1) if number % 2 else (1, 0):
            started = time.thread_time()
            graphs[each](pixels[start : start + batch_size])
            seconds[each] += time.thread_time() - started
    return [each / len(pixels) for each in seconds]


def _cpu_seconds() -> float:
    """User and system time of this process and its descendants, the JVM included."""
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in list_descendants(os.getpid()).values())
    return time.process_time() + ticks / TICKS


def _tabulate(vectors: np.ndarray, labels: list[str], backbone: Backbone) -> DataFrame:
    columns = {
        "image_id": pa.array([f"{number:04d}" for number in range(len(labels))]),
        "label": pa.array(labels),
        "split": pa.array([HOLDOUT if number % 5 == 0 else TRAIN for number in range(len(labels))]),
        "features": pa.array(list(vectors), pa.list_(pa.float32())),
        "backbone": pa.repeat(backbone.digest, len(labels)),
    }
    return SparkResource(master="local[1]").spark_session.createDataFrame(pa.table(columns))


if __name__ == "__main__":
    main()
