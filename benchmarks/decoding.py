"""Decoding: what decoding a JPEG at a fraction of its size saves, and what it costs in accuracy on labelled photos.

    python -m benchmarks.decoding FOLDER GRAPH

The folder is laid out as a training folder. Every photo is judged once, by a head fitted on the other folds.
"""

import io
import statistics
import sys
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
from pipeline.storage.schema import parse_schema
from pipeline.training.classifier import fit_uncalibrated
from pipeline.training.fitting import ClassifierParams
from resources.spark.session import SparkResource

SCHEMA: Final = "image_id string, label string, fold int, features array<float>, error string, backbone string"
REGULARIZATIONS: Final = (0.01, 0.05)
FOLDS: Final = 5
ROUNDS: Final = 5


def decode_whole(content: bytes, size: int) -> np.ndarray:
    """Every pixel of the photo is decoded, and then all are weighed in, by Pillow alone."""
    photo = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(ImageOps.pad(photo, (size, size), Image.Resampling.HAMMING, PADDING))


def decode_scaled(content: bytes, size: int) -> np.ndarray:
    """As the project does."""
    return decode(content, size).pixels


def milliseconds(contents: list[bytes], decoder: Callable[[bytes, int], np.ndarray], size: int) -> float:
    """CPU time of one picture, the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for content in contents:
            decoder(content, size)
        rounds.append(time.thread_time() - started)
    return 1000 * statistics.median(rounds) / len(contents)


def main() -> None:
    """Embeds the photos decoded either way, judges the same heads on both, and prints a table."""
    folder, backbone = sys.argv[1], open_backbone(Path(sys.argv[2]).resolve())
    listed = list_training_files(folder).labelled.select(["path", "label"]).to_pylist()
    contents = [Path(folder, row["path"]).read_bytes() for row in listed]
    print("| decoding | ms | regularization | accuracy | 95 % interval |\n|---|---|---|---|---|")
    for decoder in (decode_whole, decode_scaled):
        took = milliseconds(contents[:: max(1, len(contents) // 200)], decoder, backbone.size)
        frame = _tabulate(listed, _embed(contents, decoder, backbone), backbone)
        for strength in REGULARIZATIONS:
            right_share = _cross_validate(frame, strength)
            low, high = interval_of_share(right_share, len(listed))
            name = decoder.__name__.removeprefix("decode_")
            print(f"| {name} | {took:.2f} | {strength} | {right_share:.4f} | {low:.3f} to {high:.3f} |", flush=True)


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
    """Share of all photos that a head answers rightly which was fitted on the other folds."""
    right_count = photo_count = 0.0
    for fold in range(FOLDS):
        split = F.when(F.col("fold") == fold, HOLDOUT).otherwise(TRAIN)
        report = fit_uncalibrated(
            frame.withColumn("split", split), ClassifierParams(params={"regParam": strength})
        ).report
        right_count += report["accuracy"] * report["support"]
        photo_count += report["support"]
    return right_count / photo_count


if __name__ == "__main__":
    main()
