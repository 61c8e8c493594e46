"""Compaction: small files of one day, or of one backbone in the feature cache, become one file with the same rows.

Runs may read and write meanwhile. A run that has located rows in the former files goes on reading them until
`orphans.py` removes them a week later; a day that another run replaces first stays as that run wrote it.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.stored_rows import read_rows
from resources.lake.commits import (
    LakeError,
    arrow_schema_of,
    check_files,
    open_table,
    version_of,
)
from resources.lake.swaps import Swap, commit_swaps, list_actions

SMALL_BYTES: Final = 16 * 2**20  # larger files stay as they are
MAX_BYTES: Final = 128 * 2**20  # of the files that become one
SWAPS_PER_COMMIT: Final = 100


def compact_table(folder: str) -> int:
    """Compacts a table that is partitioned by one column; returns the number of files that it has less.

    Raises:
        LakeError: if a new file does not have the rows of the former ones; the table stays as it is.
    """
    delta = open_table(folder)
    columns = delta.metadata().partition_columns if delta else []
    if delta is None or len(columns) != 1:
        return 0
    (column,), groups = columns, list(_find_groups(delta, *columns))
    removed_count = 0
    for begin in range(0, len(groups), SWAPS_PER_COMMIT):
        swaps = [_rewrite(folder, delta, column, group) for group in groups[begin : begin + SWAPS_PER_COMMIT]]
        committed = commit_swaps(folder, column, swaps, has_same_rows=True)
        removed_count += sum(len(swap.former) - 1 for swap in committed)
    return removed_count


def _find_groups(delta: DeltaTable, column: str) -> Iterator[list[dict[str, Any]]]:
    """Groups the small files of each partition value in the order in which they were written."""
    small = [file for file in list_actions(delta) if file["size_bytes"] < SMALL_BYTES]
    small.sort(key=lambda file: (str(file[f"partition.{column}"]), file["modification_time"], file["path"]))
    for _, same_value in groupby(small, lambda file: file[f"partition.{column}"]):
        together: list[dict[str, Any]] = []
        for file in same_value:
            if sum(each["size_bytes"] for each in together) + file["size_bytes"] > MAX_BYTES:
                yield together
                together = []
            together.append(file)
        if len(together) > 1:
            yield together


def _rewrite(folder: str, delta: DeltaTable, column: str, former: list[dict[str, Any]]) -> Swap:
    schema, value = arrow_schema_of(delta), former[0][f"partition.{column}"]
    batches = (batch for file in former for batch in read_rows(folder, file["path"], {column: value}, schema))
    try:
        files = [Row(**file) for file in write_batches(batches, schema, folder, column, CpuTimer())]
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise LakeError(f"{folder}: the files of {value} are damaged ({error}); they stay as they are") from error
    check_files(folder, files, delta)
    row_count, expected = sum(file.rows for file in files), sum(file["num_records"] for file in former)
    if len(files) != 1 or row_count != expected:
        raise LakeError(f"{folder}: {expected} rows of {value} were read as {row_count}; its files stay as they are")
    return Swap(str(value), version_of(delta, str(value)), former, files[0])
