"""Task sharing: gives each Spark task the rows that were assigned to it, on every Spark from 4.0 on.

`DataFrame.repartitionById` does that from 4.1 on; hash partitioning has always done it for numbers with the right hash.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

TASK: Final = "task"
SEED: Final = 42  # of Spark's hash partitioning
TRIED_AT_ONCE: Final = 2**16


def share_by_task(spark: SparkSession, rows: pa.Table, tasks: Sequence[int]) -> DataFrame:
    """Makes a frame with a partition per task, which holds the rows of that task.

    Args:
        spark: the session.
        rows: at least one row.
        tasks: the task of each row, numbered from 0 without gaps.
    """
    count = max(tasks) + 1
    keys = find_keys(count)[np.asarray(tasks)]
    keyed = rows.append_column(TASK, pa.array(keys, pa.int32()))
    frame = spark.createDataFrame(keyed.combine_chunks())  # Spark would stop at an empty chunk
    return frame.repartition(count, TASK).drop(TASK)


def find_keys(count: int) -> np.ndarray:
    """Finds for each of `count` partitions a number that Spark's hash partitioning sends there: int32 `[count]`."""
    keys, missing, start = np.full(count, -1, np.int32), count, 0
    while missing:
        tried = np.arange(start, start + TRIED_AT_ONCE, dtype=np.int32)
        partitions, first = np.unique(_hash(tried).astype(np.int64) % count, return_index=True)
        is_new = keys[partitions] < 0
        keys[partitions[is_new]] = tried[first[is_new]]
        missing, start = missing - int(is_new.sum()), start + TRIED_AT_ONCE
    return keys


def _hash(numbers: np.ndarray) -> np.ndarray:
    """Spark's Murmur3 of each int: int32, of the same shape. Source: `Murmur3_x86_32.hashInt` in Spark's sources."""
    mixed = _rotate(numbers.astype(np.uint32) * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    mixed = _rotate(mixed ^ np.uint32(SEED), 13) * np.uint32(5) + np.uint32(0xE6546B64)
    mixed ^= np.uint32(4)  # bytes that were hashed
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return (mixed ^ (mixed >> np.uint32(16))).view(np.int32)


def _rotate(numbers: np.ndarray, count: int) -> np.ndarray:
    return (numbers << np.uint32(count)) | (numbers >> np.uint32(32 - count))
