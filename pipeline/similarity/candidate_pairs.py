"""Candidate pairs: images that may be near-duplicates, by the similarity of their whitened embeddings.

Whitening keeps the differences between images and removes what all have in common. All images are compared with all,
block by block on the executors; the driver holds a sample of the embeddings only.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.similarity.axes import Whitening, fit_whitening
from pipeline.similarity.samples import sample_vectors
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    image_id string comment 'the image with the smaller digest, from training_images.image_id',
    near_duplicate_id string comment 'the other image, from training_images.image_id',
    similarity double comment 'cosine of the whitened embeddings, -1 to 1'
"""
MIN_SIMILARITY: Final = 0.55  # of images whose pixels are compared
MIN_NEAREST_SIMILARITY: Final = 0.3  # of an image and its nearest neighbour; a crop of 15 % may be no more similar
FEW_IMAGES: Final = 64  # up to which nearest neighbours are compared at any similarity
_PAIRS: Final = pa.schema({"image_id": pa.string(), "near_duplicate_id": pa.string(), "similarity": pa.float64()})
SAMPLE_COUNT: Final = 8192
BLOCK_ROWS: Final = 4096
NEIGHBOUR_COUNT: Final = 8


def find_candidate_pairs(features: DataFrame) -> DataFrame:
    """Finds pairs of images with similar embeddings, lazily, in the columns of `SCHEMA`.

    Each image is paired with its nearest neighbour, if that is not far away; and among the similar ones with its
    `NEIGHBOUR_COUNT` nearest and the one with the smallest digest, which connects a cluster of similar images although
    not all its pairs are kept. Bound: the driver holds `SAMPLE_COUNT` embeddings, 42 MB of 1,280 numbers; a task holds
    two blocks and their similarities, 100 MB. Time grows with the square of the number of images.

    Args:
        features: distinct images, with `image_id` and `features`; read three times at most.
    """
    readable = features.where(F.col("features").isNotNull()).select("image_id", "features")
    ids, vectors = sample_vectors(readable, SAMPLE_COUNT)
    count = readable.count() if len(ids) == SAMPLE_COUNT else len(ids)
    if count == 0:
        return features.sparkSession.createDataFrame([], SCHEMA)
    whitening = fit_whitening(vectors)
    block_count = -(-count // BLOCK_ROWS)
    minima = (MIN_SIMILARITY, MIN_NEAREST_SIMILARITY) if count > FEW_IMAGES else (-1.0, -1.0)
    block = F.pmod(F.xxhash64("image_id"), F.lit(block_count)).cast("int")
    other = F.explode(F.sequence(F.lit(0), F.lit(block_count - 1)))
    whitened = readable.mapInArrow(_whiten(whitening), "image_id string, vector binary")
    met = whitened.withColumn("block", block).withColumn("other", other)
    met = met.withColumns({"low": F.least("block", "other"), "high": F.greatest("block", "other")}).drop("other")
    similar = met.groupBy("low", "high").applyInArrow(_compare_blocks(*minima), SCHEMA)
    return _keep_nearest(similar, minima[0])


def _whiten(whitening: Whitening) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def whiten(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                rows = whitening.apply(to_matrix(batch["features"]))
                vectors = pa.array([row.tobytes() for row in rows], pa.binary())
                yield pa.RecordBatch.from_arrays([batch["image_id"], vectors], ["image_id", "vector"])

    return whiten


def _compare_blocks(minimum: float, nearest_minimum: float) -> Callable[[pa.Table], pa.Table]:
    """Finds the nearest neighbours of each image of a block in the other block, or in the same one."""

    def compare(rows: pa.Table) -> pa.Table:
        rows = rows.sort_by("image_id")
        ids, blocks = rows["image_id"].to_numpy(), rows["block"].to_numpy()
        vectors = np.frombuffer(b"".join(rows["vector"].to_pylist()), np.float16).reshape(len(ids), -1)
        low, high = (np.flatnonzero(blocks == rows[block][0].as_py()) for block in ("low", "high"))
        similarities = vectors[low].astype(np.float32) @ vectors[high].astype(np.float32).T
        similarities[low[:, None] == high] = -np.inf
        sides = (ids[low], ids[high], similarities), (ids[high], ids[low], similarities.T)
        return pa.concat_tables([_pair(*side, minimum, nearest_minimum) for side in sides])

    return compare


def _pair(
    ids: np.ndarray, other_ids: np.ndarray, similarities: np.ndarray, minimum: float, nearest_minimum: float
) -> pa.Table:
    """Finds the nearest neighbours of each row, and its first similar one; columns are in the order of the digests."""
    count = min(NEIGHBOUR_COUNT, similarities.shape[1])
    if not similarities.size:
        return _PAIRS.empty_table()
    nearest = np.argpartition(similarities, -count, axis=1)[:, -count:]
    columns = np.hstack([nearest, np.argmax(similarities >= minimum, axis=1)[:, None]])
    rows = np.repeat(np.arange(len(ids)), count + 1)
    values = np.take_along_axis(similarities, columns, axis=1)
    is_nearest = values == values.max(axis=1, keepdims=True)
    similar = np.flatnonzero(values >= np.where(is_nearest, nearest_minimum, minimum))
    arrays = [ids[rows[similar]], other_ids[columns.ravel()[similar]], values.ravel()[similar].astype(np.float64)]
    return pa.table(arrays, schema=_PAIRS)


def _keep_nearest(similar: DataFrame, minimum: float) -> DataFrame:
    """Keeps the nearest neighbours and the first similar image of each image, among all blocks; every pair once."""
    similar = similar.distinct()
    rank = F.row_number().over(Window.partitionBy("image_id").orderBy(F.desc("similarity"), "near_duplicate_id"))
    is_similar = F.col("similarity") >= minimum
    first = F.min(F.when(is_similar, F.col("near_duplicate_id"))).over(Window.partitionBy("image_id"))
    kept = similar.withColumns({"rank": rank, "first": first})
    is_chosen = (F.col("rank") <= NEIGHBOUR_COUNT) | (F.col("near_duplicate_id") == F.col("first"))
    kept = kept.where((F.col("rank") == 1) | (is_similar & is_chosen))
    ids = "image_id", "near_duplicate_id"
    pairs = kept.select(F.least(*ids), F.greatest(*ids), "similarity").toDF(*ids, "similarity")
    return pairs.groupBy(*ids).agg(F.max("similarity").alias("similarity"))
