"""Rows: what tasks make of a frame, either as another frame or written to files by the very workers that make it.

Between two of Spark's Python functions rows go through the JVM and into another process. Pictures and features should
not: whoever writes what a function makes runs both in one worker (docs/decisions.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.schema import parse_schema

WRITTEN: Final = "path string, size long, rows long, value string, cpu_seconds map<string,double>"
"""A file that a task wrote: its path below the folder, size in bytes, number of rows, the value of the column in all of
them, and in one file of the task the CPU-seconds of each of its stages."""


@dataclass(frozen=True)
class LazyRows:
    """Rows that are not made yet.

    Attributes:
        frame: the rows as a lazy frame.
        schema: of the rows, comments included.
        write_to: makes the rows and writes them below a folder, each column as the given schema says, under
            `<column>=<value>/` where there is one. Gives one row per file, as in `WRITTEN`. Retried and speculated
            tasks leave orphans and no duplicates: only what finished tasks say reaches the driver.
    """

    frame: DataFrame
    schema: StructType
    write_to: Callable[[str, StructType, str | None], list[Row]]


def rows_of(frame: DataFrame) -> LazyRows:
    """The rows of any frame: they are handed to workers that write them."""
    return LazyRows(frame, frame.schema, _write_in_arrow(frame, lambda batches, _: batches))


def rows_in_arrow(
    source: DataFrame,
    make: Callable[[Iterator[pa.RecordBatch], CpuTimer], Iterator[pa.RecordBatch]],
    schema: StructType,
) -> LazyRows:
    """What a function makes of a frame, in batches of Arrow."""
    frame = source.mapInArrow(lambda batches: make(batches, CpuTimer()), schema)
    return LazyRows(frame, schema, _write_in_arrow(source, make))


def rows_in_pandas(
    source: DataFrame,
    make: Callable[[Iterator[pd.DataFrame], CpuTimer], Iterator[pa.RecordBatch]],
    schema: StructType,
) -> LazyRows:
    """What a function makes of a frame, from batches of pandas."""
    columns = parse_schema(WRITTEN).fieldNames()

    def show(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in make(batches, CpuTimer()):
            yield batch.to_pandas(integer_object_nulls=True)

    write = _write_with(source.mapInPandas, make, lambda files: pd.DataFrame(files, columns=columns))
    return LazyRows(source.mapInPandas(show, schema), schema, write)


def _write_in_arrow(
    source: DataFrame, make: Callable[[Iterator[pa.RecordBatch], CpuTimer], Iterator[pa.RecordBatch]]
) -> Callable[[str, StructType, str | None], list[Row]]:
    written = to_arrow_schema(parse_schema(WRITTEN))
    return _write_with(source.mapInArrow, make, lambda files: pa.RecordBatch.from_pylist(files, written))


def _write_with(
    map_in: Callable[..., DataFrame],
    make: Callable[..., Iterator[pa.RecordBatch]],
    pack: Callable[[list[dict[str, object]]], pd.DataFrame | pa.RecordBatch],
) -> Callable[[str, StructType, str | None], list[Row]]:
    """`LazyRows.write_to` by one of Spark's two ways to call Python; `pack` makes its batches of what was written."""

    def write(folder: str, stored: StructType, column: str | None) -> list[Row]:
        arrow_schema = to_arrow_schema(stored, timezone="UTC")

        def run(batches: Iterator[Any]) -> Iterator[pd.DataFrame | pa.RecordBatch]:
            cpu_timer = CpuTimer()
            files = list(write_batches(make(batches, cpu_timer), arrow_schema, folder, column, cpu_timer))
            for file in files[:1]:  # the seconds are of the whole task
                file["cpu_seconds"] = dict(cpu_timer.seconds)
            yield pack(files)

        return map_in(run, WRITTEN).collect()

    return write
