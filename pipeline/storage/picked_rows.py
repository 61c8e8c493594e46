"""Picked rows: some rows or columns of a table; the driver reads a few files itself, workers read more."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.object_stores import is_uri
from pipeline.storage.stored_rows import (
    TASK_ROWS,
    StoredRows,
    complete_rows,
    read_part,
    read_portion,
    share_files,
    share_rows,
)

Map = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

DRIVER_PORTIONS: Final = 2**6
"""Rows at known places that the driver reads itself: a Spark job takes 0.2 s, and a row group 2 ms."""
DRIVER_ROWS: Final = 2**16
"""Rows in the files that the driver reads itself: vectors of 1,280 features take it a second, as a Spark job does."""
MAPPED_ROWS: Final = 2**15
"""Rows to which the driver applies a function itself: probabilities of 10 labels take it half a second."""
DRIVER_THREADS: Final = 4
"""Threads of the driver that read rows, each of which holds a part of a file: 10 MB of 1,280 features."""


def pick_frame(
    stored: StoredRows, places: pa.Table, columns: Sequence[str], weights: Sequence[int], task_weight: int
) -> DataFrame:
    """Reads columns of the rows at these places, lazily and in any order.

    Workers read the row groups that have these rows, and no others. `weights` and `task_weight` are those of
    `share_rows`.
    """
    schema = StructType([stored.schema[name] for name in columns])
    if places.num_rows == 0:
        return make_frame(stored.spark, schema)
    shared = share_rows(stored.spark, places, weights, task_weight)
    return shared.mapInArrow(_reader(stored.folder, to_arrow_schema(schema)), schema)


def map_picked(
    stored: StoredRows, places: pa.Table, columns: Sequence[str], task_rows: int, function: Map, schema: StructType
) -> pa.Table:
    """Maps a function over columns of the rows at these places and collects the result, in any order.

    The driver does it for up to `DRIVER_PORTIONS` of them, if their table is local, and holds a row group at a time.

    Args:
        stored: the rows.
        places: those that are wanted.
        columns: columns to read.
        task_rows: approximate rows of a task.
        function: maps batches of these columns.
        schema: schema of the result.
    """
    wanted = to_arrow_schema(schema)
    if places.num_rows == 0:
        return wanted.empty_table()
    read = _reader(stored.folder, to_arrow_schema(StructType([stored.schema[name] for name in columns])))
    shared = share_rows(stored.spark, places, [1] * places.num_rows, task_rows)
    if places.num_rows <= DRIVER_PORTIONS and not is_uri(stored.folder):
        return pa.Table.from_batches(function(read(iter(shared.rows.to_batches()))), wanted)
    return shared.mapInArrow(lambda portions: function(read(portions)), schema).toArrow()


def _reader(folder: str, schema: pa.Schema) -> Map:
    """A function that reads the rows of portions."""

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(batch.to_pylist() for batch in batches):
            yield from _read(folder, portion, schema).to_batches()

    return read


def pick_rows(stored: StoredRows, places: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Like `pick_frame`, on the driver."""
    touched = set(places["file"].unique().to_pylist())
    if sum(file.row_count for file in stored.files if file.path in touched) > DRIVER_ROWS:
        return pick_frame(stored, places, columns, [1] * places.num_rows, TASK_ROWS).toArrow()
    schema = to_arrow_schema(StructType([stored.schema[name] for name in columns]))
    groups = places.group_by(["day", "file", "row_group"]).aggregate([("row", "list")])
    portions = groups.rename_columns({"row_list": "rows"}).to_pylist()
    with ThreadPoolExecutor(DRIVER_THREADS) as threads:
        read = threads.map(lambda portion: _read(stored.folder, portion, schema), portions)
        return pa.concat_tables([schema.empty_table(), *read])


def open_columns(stored: StoredRows, columns: Sequence[str]) -> pa.Table | DataFrame:
    """Opens columns of all rows, and reads no others, whatever their files weigh; see `map_columns`."""
    return map_columns(stored, columns, lambda rows: rows, StructType([stored.schema[name] for name in columns]))


def is_small(stored: StoredRows, driver_rows: int = MAPPED_ROWS) -> bool:
    """Whether the driver maps the rows itself: few, at most `MAPPED_ROWS`, of a local table.

    In an object store each row group is a request, which workers make side by side.
    """
    return not is_uri(stored.folder) and sum(file.row_count for file in stored.files) <= min(MAPPED_ROWS, driver_rows)


def map_columns(
    stored: StoredRows,
    columns: Sequence[str],
    function: Map,
    schema: StructType,
    driver_rows: int = MAPPED_ROWS,
) -> pa.Table | DataFrame:
    """Maps a function over columns of all rows, read without the JVM: at once by the driver, or lazily by workers.

    Args:
        stored: the rows.
        columns: columns to read; those that a file lacks are null.
        function: maps batches of these columns.
        schema: schema of the result.
        driver_rows: rows up to which the driver does it, as of `is_small`.
    """
    if is_small(stored, driver_rows):
        return map_small(stored, columns, function, schema)
    return share_files(stored.spark, stored.files).mapInArrow(_mapper(stored, columns, function), schema)


def map_small(stored: StoredRows, columns: Sequence[str], function: Map, schema: StructType) -> pa.Table:
    """Maps a function over columns of all rows on the driver, which holds the result; arguments as of `map_columns`.

    Threads read parts of files and map them side by side; the result is in the order of the files.
    """
    wanted = to_arrow_schema(schema)
    if not stored.files:
        return wanted.empty_table()
    rows, run = share_files(stored.spark, stored.files).rows, _mapper(stored, columns, function)
    with ThreadPoolExecutor(DRIVER_THREADS) as threads:
        parts = (rows.slice(number, 1).to_batches() for number in range(rows.num_rows))
        mapped = threads.map(lambda part: list(run(iter(part))), parts)
        return pa.Table.from_batches(chain.from_iterable(mapped), wanted)


def _mapper(stored: StoredRows, columns: Sequence[str], function: Map) -> Map:
    """A function of rows of `share_files`."""
    folder, schema = stored.folder, to_arrow_schema(StructType([stored.schema[name] for name in columns]))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        listed = chain.from_iterable(batch.to_pylist() for batch in batches)
        return function(chain.from_iterable(read_part(folder, part, schema) for part in listed))

    return run


def _read(folder: str, portion: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    stored = [name for name in schema.names if name != "day"]
    return complete_rows(read_portion(folder, portion, stored), {"day": portion["day"]}, schema).combine_chunks()
