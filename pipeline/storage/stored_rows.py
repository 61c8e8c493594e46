"""Stored rows: rows of a table of the lake, as a frame, and as the files that hold them.

Through the JVM a picture or a vector is copied four times on its way to Python. Who wants a few columns of many rows,
or the bytes of some, reads the files: the driver learns where rows lie, and workers read them there.
"""

import heapq
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from pipeline.storage.files import open_folder, spark_path
from pipeline.storage.object_stores import spark_reads, spark_uri
from pipeline.storage.schema import select_columns

LOOKUP_ROWS: Final = 2**20
"""Rows of which columns are held at once: ids of so many take 70 MB."""

PLACE: Final = ("day", "file", "row_group", "row")
"""Where a row lies: the day of its file, or null; the file, below the folder; the row group; the row within that."""

PORTIONS_PER_TASK: Final = 4

TASK_ROWS: Final = 2**13
"""Rows of a task that reads a table without Spark's connector, about."""


@dataclass(frozen=True)
class StoredFile:
    """A Parquet file of a table.

    Attributes:
        path: below the folder of the table.
        day: of all its rows, in a table by day.
        row_count: in it.
    """

    path: str
    day: date | None
    row_count: int


@dataclass(frozen=True)
class StoredRows:
    """Rows of a table, or of some of its days.

    Attributes:
        spark: the session that reads them.
        folder: of the table.
        schema: of the table.
        files: that hold the rows, and no others.
    """

    spark: SparkSession
    folder: str
    schema: StructType
    files: tuple[StoredFile, ...]

    @property
    def frame(self) -> DataFrame:
        """All rows, lazily."""
        if not self.files:
            return self.spark.createDataFrame([], self.schema)
        if not spark_reads(self.spark, self.folder):
            return self._frame_without_connector()
        folder = spark_uri(self.folder)
        paths = [spark_path(f"{folder}/{file.path}") for file in self.files]
        stored = self.spark.read.schema(self.schema).option("basePath", folder).parquet(*paths)
        return select_columns(stored, self.schema)  # Spark puts the column of the days last, and leaves out comments

    def locate(self, columns: Sequence[str], keep: Callable[[pa.Table], pa.ChunkedArray]) -> pa.Table:
        """Finds rows and the places where they lie, in the order of the files; read by the driver.

        Args:
            columns: to read.
            keep: from at most about `LOOKUP_ROWS` rows of these columns to which of them are wanted.

        Returns:
            The columns and those of `PLACE`.
        """
        types = to_arrow_schema(self.schema, timezone="UTC")
        places = zip(PLACE, (pa.date32(), pa.string(), pa.int32(), pa.int32()), strict=True)
        schema = pa.schema([*(types.field(name) for name in columns), *(pa.field(*place) for place in places)])
        found = [schema.empty_table()]
        for files in _lookups(self.files):
            rows = pa.concat_tables(_read_places(self.folder, file, columns) for file in files)
            found.append(rows.filter(keep(rows)).cast(schema))
        return pa.concat_tables(found)

    def _frame_without_connector(self) -> DataFrame:
        """The same rows, read by Python workers: whole rows, whatever columns are asked for."""
        folder, schema = self.folder, to_arrow_schema(self.schema, timezone="UTC")
        tasks = assign_tasks([file.row_count for file in self.files], TASK_ROWS)
        listed = {
            "path": pa.array([file.path for file in self.files], pa.string()),
            "day": pa.array([file.day for file in self.files], pa.date32()),
            "task": pa.array(tasks, pa.int32()),
        }

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for file in chain.from_iterable(batch.to_pylist() for batch in batches):
                yield from _read_rows(folder, file["path"], file["day"], schema)

        files = self.spark.createDataFrame(pa.table(listed)).repartitionById(max(tasks) + 1, "task")
        return select_columns(files.mapInArrow(read, self.schema), self.schema)

    def among(self, names: Collection[str]) -> "StoredRows":
        """Those in files of these paths."""
        return replace(self, files=tuple(file for file in self.files if file.path in names))


def share_rows(spark: SparkSession, places: pa.Table, weights: Sequence[int], task_weight: int) -> DataFrame:
    """Shares rows out between tasks by their weights, in portions that lie together in a file.

    Args:
        spark: the session.
        places: of the rows, with the columns of `PLACE`; one at least.
        weights: of the rows.
        task_weight: of a task, about.

    Returns:
        A lazy frame with a partition for every task and a row for every portion: `day`, `file`, `row_group` and `rows`,
        for `read_portion`.
    """
    by_place = [(name, "ascending") for name in ("file", "row_group", "row")]
    rows = places.select(PLACE).append_column("weight", pa.array(weights, pa.int64())).sort_by(by_place)
    part = pc.divide(pc.cumulative_sum(rows["weight"]), task_weight // PORTIONS_PER_TASK)
    grouped = rows.append_column("part", part).group_by(["day", "file", "row_group", "part"], use_threads=False)
    portions = grouped.aggregate([("row", "list"), ("weight", "sum")])
    tasks = assign_tasks(portions["weight_sum"].to_pylist(), task_weight)
    columns = portions.select(["day", "file", "row_group", "row_list"]).rename_columns([*PLACE[:3], "rows"])
    frame = spark.createDataFrame(columns.append_column("task", pa.array(tasks, pa.int32())).combine_chunks())
    return frame.repartitionById(max(tasks) + 1, "task").drop("task")


def read_portion(folder: str, portion: Mapping[Any, Any], columns: Sequence[str]) -> pa.Table:
    """Reads columns of the rows of a portion; runs in the executors.

    Args:
        folder: of the table.
        portion: of `share_rows`.
        columns: to read.
    """
    with _open(folder, portion["file"]) as file:
        group = file.read_row_group(portion["row_group"], columns, use_threads=False)  # a task has one core
    return group if len(portion["rows"]) == group.num_rows else group.take(pa.array(portion["rows"]))


def _read_rows(folder: str, path: str, day: date | None, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a file, a row group at a time; the day is not in the file, as the folder's name says it."""
    with _open(folder, path) as file:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, use_threads=False)
            if "day" in schema.names:
                group = group.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), group.num_rows))
            for name in schema.names:
                if name not in group.column_names:  # written before the table had it
                    group = group.append_column(name, pa.nulls(group.num_rows, schema.field(name).type))
            yield from group.select(schema.names).cast(schema).to_batches()


def _open(folder: str, path: str) -> pq.ParquetFile:
    filesystem, root = open_folder(folder)
    return pq.ParquetFile(filesystem.open_input_file(f"{root}/{path}"))


def _lookups(files: Sequence[StoredFile]) -> Iterator[list[StoredFile]]:
    """As many files at a time as hold `LOOKUP_ROWS`."""
    together: list[StoredFile] = []
    for file in files:
        if together and sum(each.row_count for each in together) + file.row_count > LOOKUP_ROWS:
            yield together
            together = []
        together.append(file)
    if together:
        yield together


def _read_places(folder: str, file: StoredFile, columns: Sequence[str]) -> pa.Table:
    """Columns of a file, and those of `PLACE`."""
    with _open(folder, file.path) as parquet:
        rows = parquet.read(columns).select(columns)
        counts = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    paths = pa.DictionaryArray.from_arrays(np.zeros(rows.num_rows, np.int8), [file.path])
    numbers = np.concatenate([np.arange(count, dtype=np.int32) for count in counts] or [np.empty(0, np.int32)])
    groups = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    days = pa.repeat(pa.scalar(file.day, pa.date32()), rows.num_rows)
    for name, values in zip(PLACE, (days, paths, groups, numbers), strict=True):
        rows = rows.append_column(name, pa.array(values))
    return rows


TASKS_AT_ONCE: Final = 4
"""The number of tasks is a multiple of it, so that two or four cores end together."""


def assign_tasks(weights: Sequence[int], task_weight: int) -> list[int]:
    """Spreads pieces of work over tasks so that all have about the same weight: the heaviest first, to the lightest.

    Args:
        weights: of the pieces.
        task_weight: of a task, about; many light pieces make `TASKS_AT_ONCE` tasks all the same.

    Returns:
        The number of its task for every piece, from 0.
    """
    rounds = max(1, math.ceil(sum(weights) / task_weight / TASKS_AT_ONCE))
    task_count = min(len(weights), rounds * TASKS_AT_ONCE)
    lightest = [(0, task) for task in range(task_count)]
    tasks = [0] * len(weights)
    for piece in sorted(range(len(weights)), key=weights.__getitem__, reverse=True):
        load, tasks[piece] = lightest[0]
        heapq.heapreplace(lightest, (load + weights[piece], tasks[piece]))
    return tasks
