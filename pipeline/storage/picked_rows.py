"""Picked rows: rows at known places of a table; the driver reads a few files itself, workers read more."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.stored_rows import TASK_ROWS, StoredRows, complete_rows, read_portion, share_rows

DRIVER_ROWS: Final = 2**16
"""Rows in the files that the driver reads itself: vectors of 1,280 features take it a second, as a Spark job does."""


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
    folder, arrow_schema = stored.folder, to_arrow_schema(schema)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(batch.to_pylist() for batch in batches):
            yield from _read(folder, portion, arrow_schema).to_batches()

    return share_rows(stored.spark, places, weights, task_weight).mapInArrow(read, schema)


def pick_rows(stored: StoredRows, places: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Like `pick_frame`, on the driver."""
    touched = set(places["file"].unique().to_pylist())
    if sum(file.row_count for file in stored.files if file.path in touched) > DRIVER_ROWS:
        return pick_frame(stored, places, columns, [1] * places.num_rows, TASK_ROWS).toArrow()
    schema = to_arrow_schema(StructType([stored.schema[name] for name in columns]))
    groups = places.group_by(["day", "file", "row_group"]).aggregate([("row", "list")])
    portions = groups.rename_columns({"row_list": "rows"}).to_pylist()
    return pa.concat_tables([schema.empty_table(), *(_read(stored.folder, each, schema) for each in portions)])


def _read(folder: str, portion: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    stored = [name for name in schema.names if name != "day"]
    return complete_rows(read_portion(folder, portion, stored), {"day": portion["day"]}, schema).combine_chunks()
