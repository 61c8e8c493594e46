"""Neighbours: which pictures may show the same, told from their embeddings alone; all are compared with all.

Embeddings are whitened first, which leaves what tells pictures apart and takes away what all share. Blocks of pictures
meet in tasks; the driver holds a sample of the embeddings, and no more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.similarity.samples import sample_vectors
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    image_id string comment 'the one with the smaller digest, from training_images.image_id',
    near_duplicate_id string comment 'the other one, from training_images.image_id',
    similarity double comment 'cosine of the whitened embeddings, -1 to 1'
"""
LEAST_SIMILARITY: Final = 0.55
"""Of pictures whose pixels are worth comparing."""

LEAST_OF_NEAREST: Final = 0.3
"""Of a picture and the one that is nearest to it: a crop of 15 % may be no more alike."""

DIMENSION: Final = 256
FEWEST_DIMENSIONS: Final = 8
PICTURES_PER_DIMENSION: Final = 4
"""Whitened in more dimensions than that, a small set is noise: everything is as far apart as everything else."""

FEW_PICTURES: Final = 64
"""Among which every picture has its nearest ones compared, however far."""

SAMPLE_COUNT: Final = 8192
RIDGE: Final = 1e-8
BIAS: Final = 0.1
"""Of the whitened vectors, so that pictures that differ in nothing are alike and not undefined."""

BLOCK_ROWS: Final = 4096
NEIGHBOUR_COUNT: Final = 8


@dataclass(frozen=True)
class Whitening:
    """What turns vectors of length 1 into whitened ones.

    Attributes:
        mean: float32 `[dimension]`.
        matrix: float32 `[dimension, fewer]`.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """From any vectors `[n, dimension]` to float16 vectors of the length 1, `[n, fewer + 1]`."""
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        white = (vectors / np.where(lengths > 0, lengths, 1) - self.mean) @ self.matrix
        white = np.hstack([white, np.full((len(white), 1), BIAS, np.float32)])
        return (white / np.linalg.norm(white, axis=1, keepdims=True)).astype(np.float16)


def fit_whitening(vectors: np.ndarray) -> Whitening:
    """Fits principal components of vectors of the length 1, each scaled to the same variance."""
    mean = vectors.mean(axis=0)
    centred = (vectors - mean).astype(np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = min(DIMENSION, len(variances), max(FEWEST_DIMENSIONS, len(vectors) // PICTURES_PER_DIMENSION))
    scaled = axes[:, ::-1][:, :kept] / np.sqrt(np.maximum(variances[::-1][:kept], 0) + RIDGE)
    return Whitening(mean.astype(np.float32), scaled.astype(np.float32))


def find_candidate_pairs(features: DataFrame) -> DataFrame:
    """Finds pairs of pictures whose embeddings are alike, lazily, in the columns of `SCHEMA`.

    Every picture has the one that is nearest to it, where that is no stranger; of those that are alike, its
    `NEIGHBOUR_COUNT` nearest ones and the one with the smallest digest, so that a crowd of alike pictures hangs
    together by it although not all its pairs are kept. Bound: the driver holds `SAMPLE_COUNT` embeddings, 42 MB of
    1,280 numbers; a task two blocks and their similarities, 100 MB. Work grows with the square of the number of
    pictures.

    Args:
        features: distinct pictures, with `image_id` and `features`; it is read three times at most.
    """
    readable = features.where(F.col("features").isNotNull()).select("image_id", "features")
    ids, vectors = sample_vectors(readable, SAMPLE_COUNT)
    count = readable.count() if len(ids) == SAMPLE_COUNT else len(ids)
    if count == 0:
        return features.sparkSession.createDataFrame([], SCHEMA)
    whitening = fit_whitening(vectors)
    block_count = -(-count // BLOCK_ROWS)
    floors = (LEAST_SIMILARITY, LEAST_OF_NEAREST) if count > FEW_PICTURES else (-1.0, -1.0)
    block, other = (
        F.pmod(F.xxhash64("image_id"), F.lit(block_count)),
        F.explode(F.sequence(F.lit(0), F.lit(block_count - 1))),
    )
    whitened = readable.mapInArrow(_whiten(whitening), "image_id string, vector binary")
    met = whitened.withColumn("block", block.cast("int")).withColumn("other", other)
    met = met.withColumns({"low": F.least("block", "other"), "high": F.greatest("block", "other")}).drop("other")
    alike = met.groupBy("low", "high").applyInArrow(_compare_blocks(*floors), SCHEMA)
    return _keep_nearest(alike, floors[0])


def _whiten(whitening: Whitening) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def whiten(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                rows = whitening.apply(to_matrix(batch["features"]))
                vectors = pa.array([row.tobytes() for row in rows], pa.binary())
                yield pa.RecordBatch.from_arrays([batch["image_id"], vectors], ["image_id", "vector"])

    return whiten


def _compare_blocks(floor: float, nearest_floor: float) -> Callable[[pa.Table], pa.Table]:
    """Of the pictures of two blocks, or of one, the nearest of each in the other block."""

    def compare(rows: pa.Table) -> pa.Table:
        rows = rows.sort_by("image_id")
        ids, blocks = rows["image_id"].to_numpy(), rows["block"].to_numpy()
        vectors = np.frombuffer(b"".join(rows["vector"].to_pylist()), np.float16).reshape(len(ids), -1)
        low, high = (np.flatnonzero(blocks == rows[side][0].as_py()) for side in ("low", "high"))
        similarities = vectors[low].astype(np.float32) @ vectors[high].astype(np.float32).T
        similarities[low[:, None] == high] = -np.inf
        floors = floor, nearest_floor
        found = [_pair(ids[low], ids[high], similarities, *floors), _pair(ids[high], ids[low], similarities.T, *floors)]
        return pa.concat_tables(found)

    return compare


def _pair(
    ids: np.ndarray, twin_ids: np.ndarray, similarities: np.ndarray, floor: float, nearest_floor: float
) -> pa.Table:
    """The nearest ones of every row, and the first that is alike: columns are in the order of their digests."""
    count = min(NEIGHBOUR_COUNT, similarities.shape[1])
    if not similarities.size:
        return _SCHEMA.empty_table()
    nearest = np.argpartition(similarities, -count, axis=1)[:, -count:]
    columns = np.hstack([nearest, np.argmax(similarities >= floor, axis=1)[:, None]])
    rows = np.repeat(np.arange(len(ids)), count + 1)
    values = np.take_along_axis(similarities, columns, axis=1)
    is_nearest = values == values.max(axis=1, keepdims=True)
    alike = np.flatnonzero(values >= np.where(is_nearest, nearest_floor, floor))
    arrays = [ids[rows[alike]], twin_ids[columns.ravel()[alike]], values.ravel()[alike].astype(np.float64)]
    return pa.table(arrays, schema=_SCHEMA)


def _keep_nearest(alike: DataFrame, floor: float) -> DataFrame:
    """Of what the blocks found, once more the nearest and the first of every picture; every pair once."""
    alike = alike.distinct()
    rank = F.row_number().over(Window.partitionBy("image_id").orderBy(F.desc("similarity"), "near_duplicate_id"))
    is_alike = F.col("similarity") >= floor
    first = F.min(F.when(is_alike, F.col("near_duplicate_id"))).over(Window.partitionBy("image_id"))
    kept = alike.withColumns({"rank": rank, "first": first})
    is_one = (F.col("rank") <= NEIGHBOUR_COUNT) | (F.col("near_duplicate_id") == F.col("first"))
    kept = kept.where((F.col("rank") == 1) | (is_alike & is_one))
    pair = kept.select(
        F.least("image_id", "near_duplicate_id"), F.greatest("image_id", "near_duplicate_id"), "similarity"
    )
    return (
        pair.toDF("image_id", "near_duplicate_id", "similarity")
        .groupBy("image_id", "near_duplicate_id")
        .agg(F.max("similarity").alias("similarity"))
    )


_SCHEMA: Final = pa.schema(
    [("image_id", pa.string()), ("near_duplicate_id", pa.string()), ("similarity", pa.float64())]
)
