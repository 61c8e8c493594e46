"""The fused graph against backbone and MLlib: CPU of a picture, on the same pixels, in turns.

    python -m benchmarks.fused FOLDER GRAPH...

The folder is laid out as a training folder. Decoding is the same for both and left out; MLlib answers so many rows that
the start of its job counts little.
"""

import os
import statistics
import sys
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
from pipeline.training.classifier import Classifier, fit_classifier, predict
from pipeline.training.end_to_end_graph import fuse
from pipeline.training.fitting import ClassifierParams
from resources.spark.session import SparkResource

COUNT: Final = 192
ROUNDS: Final = 9
TIMES: Final = 100
"""MLlib answers every picture so many times."""


def main() -> None:
    """Measures every graph, and prints a table."""
    listed = list_training_files(sys.argv[1]).labelled.select(["path", "label"]).to_pylist()
    chosen = listed[:: max(1, len(listed) // COUNT)][:COUNT]
    contents = [Path(sys.argv[1], row["path"]).read_bytes() for row in chosen]
    print("| backbone | fused, CPU ms | backbone, CPU ms | MLlib, CPU ms | fused / (backbone + MLlib) | range |")
    print("|---|---|---|---|---|---|")
    for graph in sys.argv[2:]:
        backbone = open_backbone(Path(graph).resolve())
        pixels = np.stack([decode(content, backbone.size).pixels for content in contents])
        features = _tabulate(load_backbone(backbone.path)(pixels), [row["label"] for row in chosen], backbone)
        rounds = measure(backbone, fit_classifier(features, ClassifierParams()), features, pixels)
        ratios = sorted(fused / (alone + mllib) for fused, alone, mllib in rounds)
        costs = " | ".join(f"{1000 * statistics.median(column):.3f}" for column in zip(*rounds, strict=True))
        told = f"{statistics.median(ratios):.3f} | {ratios[0]:.3f} to {ratios[-1]:.3f}"
        print(f"| {backbone.name} {backbone.precision} | {costs} | {told} |", flush=True)


def measure(
    backbone: Backbone, classifier: Classifier, features: DataFrame, pixels: np.ndarray
) -> list[tuple[float, float, float]]:
    """CPU-seconds of a picture by the fused graph, the backbone and MLlib, in every round after one to warm up."""
    many = features.crossJoin(features.sparkSession.range(TIMES).drop("id")).cache()
    many.count()
    graphs = embed_with(open_session(fuse(backbone, classifier))), load_backbone(backbone.path)
    rounds = []
    for _ in range(ROUNDS + 1):
        fused, alone = _run_in_turns(graphs, pixels, backbone.batch_size)
        started = _cpu_seconds()
        predict(many, classifier).write.format("noop").mode("overwrite").save()
        mllib = (_cpu_seconds() - started) / (TIMES * len(pixels))
        rounds.append((fused, alone, mllib))
    return rounds[1:]


def _run_in_turns(graphs: tuple[Embed, Embed], pixels: np.ndarray, batch_size: int) -> list[float]:
    """CPU-seconds of a picture by each graph; they take every batch in turns, and take turns in being first."""
    seconds = [0.0, 0.0]
    for number, start in enumerate(range(0, len(pixels), batch_size)):
        for each in (0, 1) if number % 2 else (1, 0):
            started = time.thread_time()
            graphs[each](pixels[start : start + batch_size])
            seconds[each] += time.thread_time() - started
    return [each / len(pixels) for each in seconds]


def _cpu_seconds() -> float:
    """User and system, of this process and all that it started, the JVM among them."""
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
