"""Decoding: the time saved by decoding JPEGs at a fraction of their size, and its cost in accuracy.

    python -m benchmarks.decoding FOLDER GRAPH

FOLDER is a training folder. Cross-validation predicts every photo once.
"""

import argparse
import io
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, load_backbone, open_backbone
from pipeline.embed.decode import decode
from pipeline.embed.letterbox import PADDING
from pipeline.evaluation.intervals import interval_of_share
from pipeline.images.labels import list_training_files
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.storage.columns.schema import parse_schema
from pipeline.training.classifier_fit import fit_uncalibrated
from pipeline.training.params import ClassifierParams
from resources.spark.session import SparkResource

SCHEMA: Final = "image_id string, label string, fold int, features array<float>, error string, backbone string"
REGULARIZATIONS: Final = (0.01, 0.05)
FOLDS: Final = 5
ROUNDS: Final = 5


def decode_whole(content: bytes, size: int) -> np.ndarray:
    """Decodes every pixel and resamples with Pillow."""
    photo = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(ImageOps.pad(photo, (size, size), Image.Resampling.HAMMING, PADDING))


def decode_scaled(content: bytes, size: int) -> np.ndarray:
    """Decodes as Daylight does."""
    return decode(content, size).pixels


def milliseconds(contents: list[bytes], decoder: Callable[[bytes, int], np.ndarray], size: int) -> float:
    """CPU time per image, the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for content in contents:
            decoder(content, size)
        rounds.append(time.thread_time() - started)
    return 1000 * statistics.median(rounds) / len(contents)


def main() -> None:
    """Embeds the photos decoded either way, evaluates the same classifiers on both, and prints a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.decoding", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("graph", type=Path)
    options = parser.parse_args()
    folder, backbone = options.folder, open_backbone(options.graph.resolve())
    listed = list_training_files(folder).labelled.select(["path", "label"]).to_pylist()
    contents = [Path(folder, row["path"]).read_bytes() for row in listed]
    print("| decoding | ms | regularization | accuracy | 95 % interval |\n|---|---|---|---|---|")
    for decoder in (decode_whole, decode_scaled):
        spent = milliseconds(contents[:: max(1, len(contents) // 200)], decoder, backbone.size)
        frame = _tabulate(listed, _embed(contents, decoder, backbone), backbone)
        for strength in REGULARIZATIONS:
            accuracy = _cross_validate(frame, strength)
            low, high = interval_of_share(accuracy, len(listed))
            name = decoder.__name__.removeprefix("decode_")
            print(f"| {name} | {spent:.2f} | {strength} | {accuracy:.4f} | {low:.3f} to {high:.3f} |", flush=True)


def _embed(contents: list[bytes], decoder: Callable[[bytes, int], np.ndarray], backbone: Backbone) -> list[list[float]]:
    embed = load_backbone(backbone.path)
    return [embed(decoder(content, backbone.size)[None])[0].tolist() for content in contents]


def _tabulate(listed: list[dict[str, str]], vectors: list[list[float]], backbone: Backbone) -> DataFrame:
    rows = [
        (row["path"], row["label"], zlib.crc32(row["path"].encode()) % FOLDS, vector, None, backbone.digest)
        for row, vector in zip(listed, vectors, strict=True)
    ]
    return SparkResource().spark_session.createDataFrame(rows, parse_schema(SCHEMA)).cache()


def _cross_validate(frame: DataFrame, strength: float) -> float:
    """Cross-validated accuracy over all photos."""
    correct_count = photo_count = 0.0
    for fold in range(FOLDS):
        split = F.when(F.col("fold") == fold, HOLDOUT).otherwise(TRAIN)
        report = fit_uncalibrated(
            frame.withColumn("split", split), ClassifierParams(params={"regParam": strength})
        ).report
        correct_count += report["accuracy"] * report["support"]
        photo_count += report["support"]
    return correct_count / photo_count


if __name__ == "__main__":
    main()
