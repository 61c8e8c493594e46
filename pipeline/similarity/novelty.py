"""Novelty: how like its nearest training picture every picture of a day is, told from their embeddings.

A classifier must answer with a label that it knows, and may be sure of it; what is far from all that it learned from,
a person should see.
"""

import atexit
import hashlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.images.split import TRAIN
from pipeline.similarity.samples import sample_vectors
from pipeline.storage.counting import only_row
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    day date comment 'the day on which the picture arrived, from image_features.day',
    image_id string comment 'SHA-256 of the bytes, from image_features.image_id',
    similarity float comment 'cosine of the embedding and that of the most similar training picture, -1 to 1'
"""
REFERENCE_PICTURES: Final = 20_000
"""Training pictures that are compared with: 102 MB of 1,280 features, mapped once for all workers of a machine, and
0.4 ms of a core a picture."""

JUDGED_PICTURES: Final = 2_000
"""Of them, from which the threshold is told, in 0.8 CPU-seconds at most."""

NOVEL_QUANTILE: Final = 0.01
"""Of the similarity that training pictures have to their own nearest one. A day like the training pictures has one
picture in a hundred below it, which a person can look at; of strangers most are."""

BLOCK_ROWS: Final = 256
"""Compared at once: 20 MB of similarities."""


@dataclass(frozen=True)
class Reference:
    """Training pictures that a day is compared with.

    Attributes:
        vectors: float32 `[n, dimension]`, rows of length 1.
        threshold: a picture that is less like all of them is novel; minus infinity of fewer than two.
        backbone: digest of the graph that gave them.
    """

    vectors: np.ndarray
    threshold: float
    backbone: str


def choose_reference(training_features: DataFrame) -> Reference:
    """Collects at most `REFERENCE_PICTURES` embeddings of the train side, the same ones at every run; on the driver."""
    train = training_features.where(F.col("split") == TRAIN)
    _, vectors = sample_vectors(train, REFERENCE_PICTURES)
    backbone = only_row(training_features.select(F.max("backbone").alias("backbone")))["backbone"] or ""
    return Reference(vectors, novelty_threshold(vectors), backbone)


def novelty_threshold(vectors: np.ndarray) -> float:
    """`NOVEL_QUANTILE` of the similarity of each vector to its nearest other one.

    Args:
        vectors: float32 `[n, dimension]`, rows of length 1 in random order; the first `JUDGED_PICTURES` are judged.
    """
    if len(vectors) < 2:
        return -math.inf
    nearest = []
    for start in range(0, min(len(vectors), JUDGED_PICTURES), BLOCK_ROWS):
        block = vectors[start : min(start + BLOCK_ROWS, JUDGED_PICTURES)]
        similarities = block @ vectors.T
        rows = np.arange(len(block))
        similarities[rows, start + rows] = -np.inf
        nearest.append(similarities.max(axis=1))
    return float(np.quantile(np.concatenate(nearest), NOVEL_QUANTILE))


def measure_similarity(features: DataFrame, reference: Reference) -> DataFrame:
    """Compares every picture that has features with the reference, lazily, in the columns of `SCHEMA`.

    Args:
        features: of one day or more, with `day`, `image_id`, `features` and `backbone`.
        reference: sent to the workers as a file that they map.

    Raises:
        SparkRuntimeException: when run, where a row is not of the reference's backbone.
    """
    spark = features.sparkSession
    if not len(reference.vectors):
        return spark.createDataFrame([], SCHEMA)
    message = F.concat(
        F.lit(f"the training pictures have features of {reference.backbone}, and the day has those of "),
        F.col("backbone"),
        F.lit(": materialize the group training, and then the day, with the backbone in use"),
    )
    is_stranger = F.col("backbone") != reference.backbone
    checked = F.when(is_stranger, F.raise_error(message).cast("array<float>")).otherwise(F.col("features"))
    readable = features.where(F.col("features").isNotNull())
    name = _send(spark, reference.vectors)

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        vectors = np.load(SparkFiles.get(name), mmap_mode="r")
        for batch in batches:
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                rows = batch.slice(start, BLOCK_ROWS)
                nearest = _nearest(rows["features"], vectors)
                yield pa.RecordBatch.from_arrays(
                    [rows["day"], rows["image_id"], pa.array(nearest, pa.float32())], ["day", "image_id", "similarity"]
                )

    return readable.select("day", "image_id", checked.alias("features")).mapInArrow(compare, SCHEMA)


def _nearest(features: pa.ListArray, vectors: np.ndarray) -> np.ndarray:
    """The largest cosine of each row with any vector; 0 of a row of zeros."""
    values = to_matrix(features)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(lengths > 0, lengths, 1) @ vectors.T).max(axis=1)


def _send(spark: SparkSession, vectors: np.ndarray) -> str:
    """Sends vectors to the workers, and gives the name of their file there: their digest, since no name is sent twice.

    The file stays until the driver ends, for executors fetch it when they start.
    """
    name = f"reference-{hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()[:32]}.npy"
    path = _folder() / name
    if not path.exists():
        np.save(path, vectors.astype(np.float32), allow_pickle=False)
    spark.addArtifacts(str(path), file=True)
    return name


@cache
def _folder() -> Path:
    """One for this process: Spark refuses a file of the same name from another."""
    folder = tempfile.TemporaryDirectory(prefix="daylight-novelty-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
