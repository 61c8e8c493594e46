"""Vectors: embeddings as one matrix on the driver, of so few pictures that it always fits."""

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def sample_vectors(features: DataFrame, limit: int) -> tuple[list[str], np.ndarray]:
    """Collects the embeddings of at most so many pictures, at the length of one.

    Which ones is told by their digests, so that the same pictures give the same sample, in the same order.
    Bound: `limit` times 4 bytes times the length of a vector; 102 MB for 20,000 of 1,280.

    Args:
        features: with `image_id` and `features`, null where a picture could not be read.
        limit: of the pictures.

    Returns:
        Their `image_id`, and float32 `[n, dimension]` whose rows have the length 1 (or 0, of a vector of zeros).
    """
    readable = features.where(F.col("features").isNotNull()).select("image_id", "features")
    table = readable.orderBy(F.xxhash64("image_id"), "image_id").limit(limit).toArrow()
    ids = table["image_id"].to_pylist()
    values = pa.concat_arrays([chunk.flatten() for chunk in table["features"].chunks] or [pa.array([], pa.float32())])
    vectors = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(ids), -1 if ids else 0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return ids, vectors / np.where(lengths > 0, lengths, 1)
