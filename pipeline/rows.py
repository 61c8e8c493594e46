"""Rows: what tasks make of a frame, either as another frame or written to files by the very workers that make it.

Between two of Spark's Python functions rows go through the JVM and into another process. Pictures and features should
not: whoever writes what a function makes runs both in one worker (docs/decisions.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from pipeline.parquet import write_batches
from pipeline.schema import parse_schema
from pipeline.stopwatch import Stopwatch

WRITTEN: Final = "path string, size long, rows long, value string, cpu_seconds map<string,double>"
"""A file that a task wrote: its path below the folder, size in bytes, number of rows, the value of the column in all of
them, and in one file of the task the CPU-seconds of each of its stages."""


@dataclass(frozen=True)
class Rows:
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


def rows_of(frame: DataFrame) -> Rows:
    """The rows of any frame: they are handed to workers that write them."""
    return Rows(frame, frame.schema, rows_in_arrow(frame, lambda batches, _: batches, frame.schema).write_to)


def rows_in_arrow(
    source: DataFrame,
    make: Callable[[Iterator[pa.RecordBatch], Stopwatch], Iterator[pa.RecordBatch]],
    schema: StructType,
) -> Rows:
    """What a function makes of a frame, in batches of Arrow."""

    def write(folder: str, stored: StructType, column: str | None) -> list[Row]:
        arrow_schema, written = to_arrow_schema(stored, timezone="UTC"), to_arrow_schema(parse_schema(WRITTEN))

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            stopwatch = Stopwatch()
            files = write_batches(make(batches, stopwatch), arrow_schema, folder, column, stopwatch)
            yield pa.RecordBatch.from_pylist(_with_seconds(files, stopwatch), written)

        return source.mapInArrow(run, WRITTEN).collect()

    return Rows(source.mapInArrow(lambda batches: make(batches, Stopwatch()), schema), schema, write)


def rows_in_pandas(
    source: DataFrame,
    make: Callable[[Iterator[pd.DataFrame], Stopwatch], Iterator[pd.DataFrame]],
    schema: StructType,
) -> Rows:
    """What a function makes of a frame, in batches of pandas."""

    def write(folder: str, stored: StructType, column: str | None) -> list[Row]:
        arrow_schema, columns = to_arrow_schema(stored, timezone="UTC"), parse_schema(WRITTEN).fieldNames()

        def run(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            stopwatch = Stopwatch()
            files = write_batches(make(batches, stopwatch), arrow_schema, folder, column, stopwatch)
            yield pd.DataFrame(_with_seconds(files, stopwatch), columns=columns)

        return source.mapInPandas(run, WRITTEN).collect()

    def show(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in make(batches, Stopwatch()):
            yield batch.apply(_without_arrow)

    return Rows(source.mapInPandas(show, schema), schema, write)


def _without_arrow(column: pd.Series) -> pd.Series:
    """A column as `mapInPandas` takes it: Spark reads a list in Arrow's memory number by number, and knows no nulls."""
    return pa.array(column.array).to_pandas() if isinstance(column.dtype, pd.ArrowDtype) else column


def _with_seconds(files: Iterator[dict[str, object]], stopwatch: Stopwatch) -> list[dict[str, object]]:
    """What was written, with the seconds of the whole task in its first row."""
    written = list(files)
    for file in written[:1]:
        file["cpu_seconds"] = dict(stopwatch.seconds)
    return written
