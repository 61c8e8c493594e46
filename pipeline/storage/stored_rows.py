"""Stored rows: rows of a table, as a frame or by their place in files.

The JVM copies image bytes and vectors four times on their way to Python. To avoid that, the driver locates rows in the
files and workers read them there.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import select_columns
from pipeline.storage.files import open_folder
from pipeline.storage.local_frames import make_frame
from pipeline.storage.spark_paths import spark_path, spark_reads, spark_uri
from pipeline.storage.task_sharing import SharedRows, assign_tasks

LOOKUP_ROWS: Final = 2**20  # maximum that `locate` holds at once; their ids take 70 MB
TASK_ROWS: Final = 2**13  # approximate, of a task that reads a table without Spark's connector
PART_ROWS: Final = 2**11
PORTIONS_PER_TASK: Final = 4
PLACE: Final = ("day", "file", "row_group", "row")
"""Place of a row: day of its file or null, path below the folder, row group, and number within the row group."""

_PARTS: Final = pa.schema({"path": pa.string(), "day": pa.date32(), "part": pa.int32(), "parts": pa.int32()})
_ALL: Final = np.zeros(1)


@dataclass(frozen=True)
class StoredFile:
    """A Parquet file of a table: path below its folder, and day of all its rows, None in a table without days."""

    path: str
    day: date | None
    row_count: int


@dataclass(frozen=True)
class StoredRows:
    """Rows of a table, in a folder or URI; `files` contain exactly these rows."""

    spark: SparkSession
    folder: str
    schema: StructType
    files: tuple[StoredFile, ...]

    @property
    def frame(self) -> DataFrame:
        """All rows as a lazy frame."""
        if not self.files:
            return make_frame(self.spark, self.schema)
        if not spark_reads(self.spark, self.folder):
            return self._frame_without_connector()
        folder = spark_uri(self.folder)
        paths = [spark_path(f"{folder}/{file.path}") for file in self.files]
        stored = self.spark.read.schema(self.schema).option("basePath", folder).parquet(*paths)
        return select_columns(stored, self.schema)  # some Sparks put `day` last and drop comments

    def narrow(self, schema: StructType) -> "StoredRows":
        """The same rows with the columns of a schema; those that a file lacks are null."""
        return replace(self, schema=schema)

    def read_small(self) -> pa.Table:
        """Reads all rows of a small table on the driver, without Spark."""
        schema = to_arrow_schema(self.schema)
        batches = (
            batch for file in self.files for batch in read_rows(self.folder, file.path, {"day": file.day}, schema)
        )
        return pa.Table.from_batches(batches, schema)

    def count_rows(self) -> dict[str | None, int]:
        """Counts the rows by day, YYYY-MM-DD, or under None in a table without days."""
        counts: Counter[str | None] = Counter()
        for file in self.files:
            counts[str(file.day) if file.day else None] += file.row_count
        return dict(counts)

    def locate(
        self,
        columns: Sequence[str],
        keep: Callable[[pa.Table], pa.ChunkedArray],
        among: Mapping[str, np.ndarray] | None = None,
    ) -> pa.Table:
        """Finds rows on the driver, in the order of the files; returns the columns and those of `PLACE`.

        Args:
            columns: columns to read.
            keep: maps about `LOOKUP_ROWS` rows of these columns to a mask of the wanted ones.
            among: numbers of the rows to consider in a file, sorted, by its path; all rows of other files.
        """
        types = to_arrow_schema(self.schema)
        fields = [types.field(name) for name in columns]
        return locate_rows(self.folder, self.files, fields, keep, among or {})

    def _frame_without_connector(self) -> DataFrame:
        """All rows, read by Python workers, which always read all columns."""
        folder, schema = self.folder, to_arrow_schema(self.schema)

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for part in chain.from_iterable(batch.to_pylist() for batch in batches):
                yield from read_part(folder, part, schema)

        frame = share_files(self.spark, self.files).mapInArrow(read, self.schema)
        return select_columns(frame, self.schema)


def locate_rows(
    folder: str,
    files: Sequence[StoredFile],
    columns: Sequence[pa.Field],
    keep: Callable[[pa.Table], pa.ChunkedArray],
    among: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> pa.Table:
    """Finds rows of files below a folder, without Spark; arguments and result as of `StoredRows.locate`.

    Columns that a file lacks are null.
    """
    places = zip(PLACE, (pa.date32(), pa.string(), pa.int32(), pa.int32()), strict=True)
    schema = pa.schema([*columns, *(pa.field(*place) for place in places)])
    found = [schema.empty_table()]
    for together in group_files([file for file in files if len(among.get(file.path, _ALL))], LOOKUP_ROWS):
        rows = pa.concat_tables(_read_places(folder, file, columns, among.get(file.path)) for file in together)
        found.append(rows.filter(keep(rows)).cast(schema))
    return pa.concat_tables(found)


def share_files(spark: SparkSession, files: Sequence[StoredFile]) -> SharedRows:
    """Distributes files, at least one, over tasks, in parts of about `PART_ROWS`: a row for `read_part` for each."""
    counts = [max(1, file.row_count // PART_ROWS) for file in files]
    parts = [
        {"path": file.path, "day": file.day, "part": part, "parts": count}
        for file, count in zip(files, counts, strict=True)
        for part in range(count)
    ]
    weights = [file.row_count // count for file, count in zip(files, counts, strict=True) for _ in range(count)]
    return SharedRows(lambda: spark, pa.Table.from_pylist(parts, _PARTS), assign_tasks(weights, TASK_ROWS))


def share_rows(spark: SparkSession, places: pa.Table, weights: Sequence[int], task_weight: int) -> SharedRows:
    """Distributes rows over tasks by weight, in portions of neighbouring rows of a file.

    Args:
        spark: the session.
        places: at least one row, with the columns of `PLACE`.
        weights: one per row.
        task_weight: approximate weight of a task.

    Returns:
        A row per portion: `day`, `file`, `row_group` and `rows`.
    """
    by_place = [(name, "ascending") for name in ("file", "row_group", "row")]
    rows = places.select(PLACE).append_column("weight", pa.array(weights, pa.int64())).sort_by(by_place)
    part = pc.divide(pc.cumulative_sum(rows["weight"]), task_weight // PORTIONS_PER_TASK)
    grouped = rows.append_column("part", part).group_by(["day", "file", "row_group", "part"], use_threads=False)
    portions = grouped.aggregate([("row", "list"), ("weight", "sum")])
    tasks = assign_tasks(portions["weight_sum"].to_pylist(), task_weight)
    columns = portions.select(["day", "file", "row_group", "row_list"]).rename_columns([*PLACE[:3], "rows"])
    return SharedRows(lambda: spark, columns, tasks)


def read_portion(folder: str, portion: Mapping[Any, Any], columns: Sequence[str]) -> pa.Table:
    """Reads columns of a portion, a row of `share_rows`, in an executor."""
    with _open(folder, portion["file"]) as file:
        group = file.read_row_group(portion["row_group"], columns, use_threads=False)  # a task has one core
    return group if len(portion["rows"]) == group.num_rows else group.take(pa.array(portion["rows"]))


def read_rows(folder: str, path: str, constants: Mapping[str, object], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Reads the columns of the schema from a file, by row groups, completed by `complete_rows`."""
    return _read_groups(folder, path, constants, schema)


def read_part(folder: str, part: Mapping[str, Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Like `read_rows`, of every so many row groups of a file: a row of `share_files`."""
    return _read_groups(folder, part["path"], {"day": part["day"]}, schema, slice(part["part"], None, part["parts"]))


def _read_groups(
    folder: str, path: str, constants: Mapping[str, object], schema: pa.Schema, groups: slice = slice(None)
) -> Iterator[pa.RecordBatch]:
    with _open(folder, path) as file:
        names = [name for name in schema.names if name in file.schema_arrow.names]
        for number in range(file.num_row_groups)[groups]:
            rows = file.read_row_group(number, names, use_threads=False)
            yield from complete_rows(rows, constants, schema).to_batches()


def complete_rows(rows: pa.Table, constants: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    """Adds partition columns, and nulls for columns that the file of the rows was written without."""
    for field in schema:
        if field.name not in rows.column_names:
            value = pa.scalar(constants.get(field.name), field.type)
            rows = rows.append_column(field.name, pa.repeat(value, rows.num_rows))
    return rows.select(schema.names).cast(schema)


def _open(folder: str, path: str) -> pq.ParquetFile:
    filesystem, root = open_folder(folder)
    return pq.ParquetFile(filesystem.open_input_file(f"{root}/{path}"))


def group_files(files: Sequence[StoredFile], max_rows: int) -> Iterator[list[StoredFile]]:
    """Groups files so that each group has at most so many rows, or one file."""
    together: list[StoredFile] = []
    row_count = 0
    for file in files:
        if together and row_count + file.row_count > max_rows:
            yield together
            together, row_count = [], 0
        together.append(file)
        row_count += file.row_count
    if together:
        yield together


def _read_places(folder: str, file: StoredFile, columns: Sequence[pa.Field], among: np.ndarray | None) -> pa.Table:
    with _open(folder, file.path) as parquet:
        counts = np.array([parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)])
        ends = np.cumsum(counts)
        read = np.arange(len(counts)) if among is None else np.unique(np.searchsorted(ends, among, "right"))
        names = [field.name for field in columns]
        stored = [name for name in names if name in parquet.schema_arrow.names]
        rows = parquet.read_row_groups(read.tolist(), stored)
    for field in columns:
        if field.name not in stored:  # a file of an earlier version
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    rows = rows.select(names)
    paths = pa.DictionaryArray.from_arrays(np.zeros(rows.num_rows, np.int8), [file.path])
    numbers = np.concatenate([np.arange(count, dtype=np.int32) for count in counts[read]] or [np.empty(0, np.int32)])
    groups = np.repeat(read.astype(np.int32), counts[read])
    days = pa.repeat(pa.scalar(file.day, pa.date32()), rows.num_rows)
    for name, values in zip(PLACE, (days, paths, groups, numbers), strict=True):
        rows = rows.append_column(name, pa.array(values))
    return rows if among is None else rows.filter(np.isin((ends - counts)[groups] + numbers, among))
