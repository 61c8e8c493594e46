"""Task sharing: gives each Spark task the rows that were assigned to it, on every Spark from 4.0 on.

Few rows travel with the function that is mapped over them, and Spark runs one stage. More are shuffled:
`DataFrame.repartitionById` does that from 4.1 on; hash partitioning has always done it for numbers with the right hash.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.local_frames import open_table

TASKS_AT_ONCE: Final = 4  # the number of tasks is a multiple of this, so two or four cores finish together
TASK: Final = "task"
SEED: Final = 42  # of Spark's hash partitioning
TRIED_AT_ONCE: Final = 2**16
SENT_BYTES: Final = 2**19  # of rows that travel with a function: every task receives all of them
PART_BYTES: Final = 2**10  # of a part without its rows


@dataclass(frozen=True)
class SharedRows:
    """Rows of which each task has its own, as a source for the functions of workers.

    Attributes:
        open_spark: opens the session, once a frame is asked for.
        rows: at least one row.
        tasks: the task of each row, numbered from 0 without gaps.
    """

    open_spark: Callable[[], SparkSession]
    rows: pa.Table
    tasks: Sequence[int]

    def mapInArrow(
        self, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: StructType | str
    ) -> DataFrame:
        """Maps a function over the Arrow batches of each task, lazily."""
        if not self._is_short:
            return self._shuffle().mapInArrow(function, schema)
        open_part = self._send()

        def run(tasks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            numbers = (number for task in tasks for number in task["id"].to_pylist())
            return function(batch for number in numbers for batch in open_part(number).to_batches())

        return self._number().mapInArrow(run, schema)

    def mapInPandas(
        self, function: Callable[[Iterator[pd.DataFrame]], Iterator[Any]], schema: StructType | str
    ) -> DataFrame:
        """Maps a function over the pandas batches of each task, lazily."""
        if not self._is_short:
            return self._shuffle().mapInPandas(function, schema)
        open_part = self._send()

        def run(tasks: Iterator[pd.DataFrame]) -> Iterator[Any]:
            numbers = (number for task in tasks for number in task["id"])
            return function(open_part(number).to_pandas() for number in numbers)

        return self._number().mapInPandas(run, schema)

    @property
    def _count(self) -> int:
        return max(self.tasks) + 1

    @property
    def _is_short(self) -> bool:
        return self.rows.nbytes + PART_BYTES * self._count <= SENT_BYTES

    def _number(self) -> DataFrame:
        """The number of each task, in a partition of its own."""
        return self.open_spark().range(0, self._count, 1, self._count)

    def _shuffle(self) -> DataFrame:
        """The rows, in a partition per task."""
        keys = find_keys(self._count)[np.asarray(self.tasks)]
        keyed = self.rows.append_column(TASK, pa.array(keys, pa.int32()))
        frame = open_table(self.open_spark(), keyed)
        return frame.repartition(self._count, TASK).drop(TASK)

    def _send(self) -> Callable[[int], pa.Table]:
        """Packs the rows of all tasks for the workers; returns a function that opens the rows of one task."""
        numbers = np.asarray(self.tasks)
        parts = [_pack(self.rows.take(pa.array(np.flatnonzero(numbers == task)))) for task in range(self._count)]

        def open_part(number: int) -> pa.Table:
            with pa.ipc.open_stream(parts[number]) as stream:
                return stream.read_all()

        return open_part


def assign_tasks(weights: Sequence[int], task_weight: int) -> list[int]:
    """Balances pieces of work over tasks: assigns the heaviest piece first, always to the lightest task.

    Args:
        weights: one per piece.
        task_weight: approximate weight of a task; even light work is split into `TASKS_AT_ONCE` tasks.

    Returns:
        The task of each piece, numbered from 0.
    """
    rounds = max(1, math.ceil(sum(weights) / task_weight / TASKS_AT_ONCE))
    task_count = min(len(weights), rounds * TASKS_AT_ONCE)
    lightest = [(0, task) for task in range(task_count)]
    tasks = [0] * len(weights)
    for piece in sorted(range(len(weights)), key=weights.__getitem__, reverse=True):
        load, tasks[piece] = lightest[0]
        heapq.heapreplace(lightest, (load + weights[piece], tasks[piece]))
    return tasks


def _pack(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    return sink.getvalue().to_pybytes()


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
