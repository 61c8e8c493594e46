"""Lazy rows: the result of a Python function over a frame, either as a frame or written to files by the same workers.

Writing in the same worker keeps image bytes and features out of the JVM (docs/decisions.md).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.stored_rows import StoredFile
from pipeline.storage.task_sharing import SharedRows

WRITTEN: Final = "path string, size long, rows long, value string, cpu_seconds map<string,double>"
"""A written file: path below the folder, bytes, row count, partition value, and, in one file per task, its CPU-seconds
by stage."""

Batches = Iterator[pa.RecordBatch]
Make = Callable[[Batches, CpuTimer], Batches]


class Source(Protocol):
    """A frame, or rows that are shared among tasks."""

    @property
    def mapInArrow(self) -> Callable[..., DataFrame]:
        """Maps a function over Arrow batches, lazily."""

    @property
    def mapInPandas(self) -> Callable[..., DataFrame]:
        """Maps a function over pandas batches, lazily."""


class Write(Protocol):
    """Computes rows and writes them; returns one row per file, as in `WRITTEN`."""

    def __call__(
        self, folder: str, schema: StructType, column: str | None, run: str = "", max_seconds: float = math.inf
    ) -> list[Row]:
        """Arguments as of `write_batches`; files are complete, one after another, before the call returns."""


@dataclass(frozen=True)
class LazyRows:
    """Rows that are not computed yet.

    Attributes:
        make_frame: makes a lazy frame of the rows.
        schema: schema of the rows, with comments.
        write_to: computes the rows and writes them. Retried tasks leave orphaned files that it does not return.
    """

    make_frame: Callable[[], DataFrame]
    schema: StructType
    write_to: Write

    @property
    def frame(self) -> DataFrame:
        """The rows as a lazy frame."""
        return self.make_frame()


@dataclass(frozen=True)
class SmallRows:
    """Rows that the driver has, such as one a day: it writes them itself, without a job of Spark.

    Attributes:
        table: the rows.
        schema: their schema, with comments.
    """

    table: pa.Table
    schema: StructType

    def write_to(
        self, folder: str, schema: StructType, column: str | None, run: str = "", max_seconds: float = math.inf
    ) -> list[Row]:
        """Writes the rows; arguments and result as of `Write`."""
        batches = self.table.cast(to_arrow_schema(schema)).combine_chunks().to_batches()
        return _write_on_driver(lambda cpu_timer: iter(batches))(folder, schema, column, run, max_seconds)


def collect_rows(records: Sequence[Mapping[str, object]], schema: StructType) -> SmallRows:
    """Makes rows from Python values by column."""
    return SmallRows(pa.Table.from_pylist(list(records), to_arrow_schema(schema)), schema)


@dataclass(frozen=True)
class Appended:
    """Rows that one run added to a table.

    Attributes:
        files: the files with the rows.
        row_count: number of rows in all files.
        seconds: wall-clock time to compute and write the rows.
        cpu_seconds: CPU-seconds of all workers, by stage.
    """

    files: tuple[StoredFile, ...]
    row_count: int
    seconds: float
    cpu_seconds: Mapping[str, float]


def rows_of(frame: DataFrame) -> LazyRows:
    """The rows of an existing frame."""
    return LazyRows(lambda: frame, frame.schema, _write_in_arrow(frame, lambda batches, _: batches))


def rows_in_arrow(source: Source, make: Make, schema: StructType) -> LazyRows:
    """The result of a function over a frame, from Arrow batches."""
    return LazyRows(lambda: _map_in_arrow(source, make, schema), schema, _write_in_arrow(source, make))


def rows_on_driver(source: SharedRows, make: Make, schema: StructType) -> LazyRows:
    """Like `rows_in_arrow`, for work that takes the driver less time than a Spark job takes to start: it writes them.

    It needs Spark only for a frame.
    """
    write = _write_on_driver(lambda cpu_timer: make(iter(source.rows.to_batches()), cpu_timer))
    return LazyRows(lambda: _map_in_arrow(source, make, schema), schema, write)


def rows_in_pandas(
    source: Source, make: Callable[[Iterator[pd.DataFrame], CpuTimer], Batches], schema: StructType
) -> LazyRows:
    """The result of a function over a frame, from pandas batches."""
    columns = parse_schema(WRITTEN).fieldNames()

    def to_pandas(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in make(batches, CpuTimer()):
            yield batch.to_pandas(integer_object_nulls=True)

    write = _write_with(source.mapInPandas, make, lambda files: pd.DataFrame(files, columns=columns))
    return LazyRows(lambda: source.mapInPandas(to_pandas, schema), schema, write)


def _map_in_arrow(source: Source, make: Make, schema: StructType) -> DataFrame:
    return source.mapInArrow(lambda batches: make(batches, CpuTimer()), schema)


def _write_in_arrow(source: Source, make: Make) -> Write:
    written = to_arrow_schema(parse_schema(WRITTEN))
    return _write_with(source.mapInArrow, make, lambda files: pa.RecordBatch.from_pylist(files, written))


def _write_on_driver(make: Callable[[CpuTimer], Batches]) -> Write:
    """Makes `LazyRows.write_to` without Spark."""

    def write(
        folder: str, schema: StructType, column: str | None, run: str = "", max_seconds: float = math.inf
    ) -> list[Row]:
        files = _write_task(make, to_arrow_schema(schema), folder, column, run, max_seconds)
        return [Row(**file) for file in files]

    return write


def _write_with(
    map_in: Callable[..., DataFrame],
    make: Callable[..., Batches],
    pack: Callable[[list[dict[str, object]]], pd.DataFrame | pa.RecordBatch],
) -> Write:
    """Makes `LazyRows.write_to` for `mapInArrow` or `mapInPandas`; `pack` converts the written files to a batch."""

    def write(
        folder: str, schema: StructType, column: str | None, run: str = "", max_seconds: float = math.inf
    ) -> list[Row]:
        arrow_schema = to_arrow_schema(schema)

        def write_task(batches: Iterator[Any]) -> Iterator[pd.DataFrame | pa.RecordBatch]:
            files = _write_task(
                lambda cpu_timer: make(batches, cpu_timer), arrow_schema, folder, column, run, max_seconds
            )
            yield pack(files)

        return map_in(write_task, WRITTEN).collect()

    return write


def _write_task(
    make: Callable[[CpuTimer], Batches],
    schema: pa.Schema,
    folder: str,
    column: str | None,
    run: str,
    max_seconds: float,
) -> list[dict[str, object]]:
    """Writes the rows of a task; its first file has the seconds of the whole task."""
    cpu_timer = CpuTimer()
    files = list(write_batches(make(cpu_timer), schema, folder, column, cpu_timer, run, max_seconds))
    for number, file in enumerate(files):
        file["cpu_seconds"] = {} if number else dict(cpu_timer.seconds)
    return files
