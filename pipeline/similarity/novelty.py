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
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from pipeline.images.split import TRAIN
from pipeline.reports.queries import Rows, query, query_table
from pipeline.similarity.nearest import find_most_similar, normalise
from pipeline.similarity.samples import unpack_vectors
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.picked_rows import map_columns, map_small
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
FIRST_SHARE: Final = 1 / 8  # of the reference: training images that are compared first
_COMPARED: Final = ("day", "image_id", "features")


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
    """Compares every image that has features with the reference, lazily, in the columns of `SCHEMA`.

    Args:
        features: of one or more days, with `day`, `image_id`, `features`, `error` and `backbone`.
        reference: training images.

    Raises:
        OtherBackboneError: if an image is of another backbone than the reference.
    """
    spark, schema = features.spark, parse_schema(SCHEMA)
    if not _is_comparable(features, reference):
        return make_frame(spark, schema)
    names = send_array(spark, reference.ids), send_array(spark, reference.vectors.astype(np.float32))

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        ids, vectors = map(open_sent, names)
        for rows, own in _open_blocks(batches):
            yield _describe(rows, own, ids, vectors)

    return map_columns(features, _COMPARED, compare, schema, driver_rows=0)


def find_novel(features: StoredRows, reference: Reference, wanted: pa.ChunkedArray) -> pa.Table:
    """Like `measure_similarity`, on the driver, of novel images and some others.

    Most images resemble one of the first training images enough, and are compared with those only.

    Args:
        features: of few images, as of `picked_rows.is_small`.
        reference: training images.
        wanted: `image_id` of the others.
    """
    schema, first = parse_schema(SCHEMA), reference.vectors[: math.ceil(len(reference.vectors) * FIRST_SHARE)]
    if not _is_comparable(features, reference):
        return to_arrow_schema(schema).empty_table()

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows, own in _open_blocks(batches):
            is_wanted = pc.is_in(rows["image_id"], wanted).to_numpy(zero_copy_only=False)
            asked = np.flatnonzero(is_wanted | ((own @ first.T).max(axis=1) < reference.threshold))
            yield _describe(rows.take(pa.array(asked)), own[asked], reference.ids, reference.vectors)

    return map_small(features, _COMPARED, compare, schema)


def _is_comparable(features: StoredRows, reference: Reference) -> bool:
    """Whether there is a reference; raises `OtherBackboneError` if it is of another backbone."""
    for row in query(_BACKBONES, features=features) if len(reference.vectors) else ():
        if row["backbone"] != reference.backbone:
            raise OtherBackboneError(
                f"the training images have features of backbone {reference.backbone}, and the day has those of"
                f" {row['backbone']}: materialize the group training, and then the day, with the backbone in use"
            )
    return len(reference.vectors) > 0


def _open_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Rows of `_COMPARED` that have features, and their vectors, of length 1."""
    for batch in batches:
        readable = batch.filter(batch["features"].is_valid())
        for start in range(0, readable.num_rows, BLOCK_ROWS):
            rows = readable.slice(start, BLOCK_ROWS)
            yield rows, normalise(to_matrix(rows["features"]))


def _describe(rows: pa.RecordBatch, own: np.ndarray, ids: np.ndarray, vectors: np.ndarray) -> pa.RecordBatch:
    nearest, _ = find_most_similar(own, vectors)
    products = own.astype(np.float64) * vectors[nearest]  # sums of rows are the same in any batch, to the last digit
    similarities = products.sum(axis=1)
    found = [pa.array(similarities, pa.float32()), pa.array(ids[nearest].astype(str), pa.string())]
    return pa.RecordBatch.from_arrays([rows["day"], rows["image_id"], *found], parse_schema(SCHEMA).names)
