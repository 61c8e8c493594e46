"""Compaction: small files of one day, or of one backbone in the feature cache, become one file with the same rows.

Runs may read and write meanwhile. A run that has located rows in the former files goes on reading them until
`orphans.py` removes them a week later; a day that another run replaces first stays as that run wrote it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import RemoveAction
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.stored_rows import read_rows
from resources.lake.commits import (
    LakeError,
    add_actions,
    arrow_schema_of,
    check_files,
    commit_with_retries,
    open_table,
    version_of,
)

SMALL_BYTES: Final = 16 * 2**20  # larger files stay as they are
MAX_BYTES: Final = 128 * 2**20  # of the files that become one
SWAPS_PER_COMMIT: Final = 100


@dataclass(frozen=True)
class Swap:
    """Files of one partition value, and the file with their rows.

    Attributes:
        value: the day, or the digest of the backbone.
        version: number of writes of the day before the files were read.
        former: `path`, `size_bytes` and `num_records` of the files, as in the log.
        new: the new file, as in `rows.WRITTEN`.
    """

    value: str
    version: int
    former: Sequence[dict[str, Any]]
    new: Row


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
        removed_count += _commit(folder, column, swaps)
    return removed_count


def _find_groups(delta: DeltaTable, column: str) -> Iterator[list[dict[str, Any]]]:
    """Groups the small files of each partition value in the order in which they were written."""
    files = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    small = [file for file in files if file["size_bytes"] < SMALL_BYTES]
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


def _commit(folder: str, column: str, swaps: Sequence[Swap]) -> int:
    """Commits the swaps whose former files are all still in the table; returns by how many files it shrinks.

    The transaction names the days, with the versions that they have: if another run replaces one of them at the same
    moment, one of the two commits is refused and tried again. It leaves appends alone, as they name none.
    """
    removed_count = 0

    def commit(delta: DeltaTable) -> None:
        nonlocal removed_count
        present = set(pa.table(delta.get_add_actions(flatten=True))["path"].to_pylist())
        kept = [
            swap
            for swap in swaps
            if version_of(delta, swap.value) == swap.version and present.issuperset(f["path"] for f in swap.former)
        ]
        removed_count = sum(len(swap.former) - 1 for swap in kept)
        if not kept:
            return
        actions = add_actions([swap.new for swap in kept], column, is_new=False)
        now = int(time.time() * 1000)
        for swap in kept:
            values: dict[str, str | None] = {column: swap.value}
            actions += [RemoveAction(f["path"], False, now, f["size_bytes"], values) for f in swap.former]
        marks = [Transaction(value, version) for value, version in {(swap.value, swap.version) for swap in kept}]
        properties = CommitProperties(app_transactions=marks)
        delta.create_write_transaction(actions, "append", delta.schema(), [column], commit_properties=properties)

    commit_with_retries(folder, ", ".join(sorted({swap.value for swap in swaps})), commit)
    return removed_count
