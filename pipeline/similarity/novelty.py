"""Novelty: how similar each image of a day is to its most similar training image, by their embeddings.

A classifier may be confident about an image of no known kind; a person should see images that are far from all training
images.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from pipeline.images.split import TRAIN
from pipeline.reports.queries import Rows, query, query_table
from pipeline.similarity.nearest import find_most_similar, normalise
from pipeline.similarity.samples import unpack_vectors
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.picked_rows import map_columns
from pipeline.storage.sent_arrays import open_sent, send_array
from pipeline.storage.stored_rows import StoredRows
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    day date comment 'the day on which the image arrived, from image_features.day',
    image_id string comment 'SHA-256 of the bytes, from image_features.image_id',
    similarity float comment 'cosine of the embedding and that of the most similar training image, -1 to 1',
    nearest_image_id string comment 'the most similar training image, from training_features.image_id'
"""
_SAMPLE: Final = """
    SELECT image_id, features, f.backbone FROM training_features f JOIN training_split s USING (image_id)
    WHERE s.split = $train AND features IS NOT NULL ORDER BY md5(image_id) LIMIT $limit
"""
_BACKBONES: Final = "SELECT DISTINCT backbone FROM features WHERE error IS NULL"
REFERENCE_LIMIT: Final = 20_000  # images: 102 MB of 1,280 features, shared by a machine's workers; 0.4 CPU-ms per image
THRESHOLD_IMAGES: Final = 2_000  # images of the reference that determine the threshold, in 0.8 CPU-seconds at most
NOVEL_QUANTILE: Final = 0.01
"""Quantile of the similarity of training images to their nearest one. On a day like the training set one image in a
hundred is below it, few enough for a person to look at; images of other kinds mostly are."""

BLOCK_ROWS: Final = 256  # images compared at once: 20 MB of similarities
DRIVER_PAIRS: Final = 2**23  # images of days times references that the driver compares itself, in 0.2 CPU-seconds


class OtherBackboneError(ValueError):
    """Features of another backbone than the training images; the text names both, and the cure."""


@dataclass(frozen=True)
class Reference:
    """Training images that a day is compared with."""

    ids: np.ndarray  # `image_id`, bytes `[n]`
    vectors: np.ndarray  # float32 `[n, dimension]`, rows of length 1
    threshold: float  # similarity below which an image is novel; minus infinity with fewer than two training images
    backbone: str  # digest of the graph that computed the vectors; empty without any


def choose_reference(training_features: Rows, training_split: Rows) -> Reference:
    """Collects at most `REFERENCE_LIMIT` embeddings of the train split on the driver, the same ones at every run."""
    tables = {"training_features": training_features, "training_split": training_split}
    sample = query_table(_SAMPLE, {"train": TRAIN, "limit": REFERENCE_LIMIT}, **tables)
    ids, vectors = unpack_vectors(sample)
    backbone = sample["backbone"][0].as_py() if ids else ""
    return Reference(np.array(ids, np.bytes_), vectors, novelty_threshold(vectors), backbone)


def novelty_threshold(vectors: np.ndarray) -> float:
    """Computes the `NOVEL_QUANTILE` of the similarity of each vector to its nearest other one.

    Args:
        vectors: float32 `[n, dimension]`, rows of length 1 in random order; the first `THRESHOLD_IMAGES` are used.
    """
    if len(vectors) < 2:
        return -math.inf
    chosen = vectors[:THRESHOLD_IMAGES]
    starts = range(0, len(chosen), BLOCK_ROWS)
    nearest = [find_most_similar(chosen[start : start + BLOCK_ROWS], vectors, start) for start in starts]
    return float(np.quantile(np.concatenate([similarities for _, similarities in nearest]), NOVEL_QUANTILE))


def measure_similarity(features: StoredRows, reference: Reference) -> DataFrame:
    """Compares every image that has features with the reference, in the columns of `SCHEMA`.

    Args:
        features: of one or more days, with `day`, `image_id`, `features`, `error` and `backbone`.
        reference: training images.

    Raises:
        OtherBackboneError: if an image is of another backbone than the reference.
    """
    spark, schema = features.spark, parse_schema(SCHEMA)
    if not len(reference.vectors):
        return make_frame(spark, schema)
    for row in query(_BACKBONES, features=features):
        if row["backbone"] != reference.backbone:
            raise OtherBackboneError(
                f"the training images have features of backbone {reference.backbone}, and the day has those of"
                f" {row['backbone']}: materialize the group training, and then the day, with the backbone in use"
            )
    names = send_array(spark, reference.ids), send_array(spark, reference.vectors.astype(np.float32))

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        ids, vectors = map(open_sent, names)
        for batch in batches:
            readable = batch.filter(batch["features"].is_valid())
            for start in range(0, readable.num_rows, BLOCK_ROWS):
                rows = readable.slice(start, BLOCK_ROWS)
                nearest, similarities = find_most_similar(normalise(to_matrix(rows["features"])), vectors)
                found = [pa.array(similarities, pa.float32()), pa.array(ids[nearest].astype(str), pa.string())]
                yield pa.RecordBatch.from_arrays([rows["day"], rows["image_id"], *found], schema.names)

    driver_rows = DRIVER_PAIRS // len(reference.vectors)
    return map_columns(features, ["day", "image_id", "features"], compare, schema, driver_rows)
