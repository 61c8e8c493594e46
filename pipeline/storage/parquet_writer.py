"""Parquet writer: executors or the driver write files under final, unique names, invisible until they are committed."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.files import open_folder

ROW_GROUP_BYTES: Final = 3 * 2**19  # maximum, unless one row is larger: readers and writers hold row groups in memory
BUFFER_BYTES: Final = 2**20  # buffered rows of this size are written
SAMPLE_ROWS: Final = 32
MAX_DICTIONARY_VALUES: Final = 256


def write_batches(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    folder: str,
    column: str | None,
    cpu_timer: CpuTimer,
    run: str = "",
    max_seconds: float = math.inf,
) -> Iterator[dict[str, object]]:
    """Writes the rows of a task below a folder, under `<column>=<value>/` if the table is partitioned.

    Partition values (days, digests) are not escaped in paths.

    Args:
        batches: rows of the task.
        schema: columns of the table.
        folder: folder of the table.
        column: partition column; None in a table without.
        cpu_timer: gets the CPU-seconds of writing.
        run: folder of the files, below that of their partition; by default one of this task.
        max_seconds: time to compute and write rows after which their files are closed and others begun.

    Yields:
        `path` below the folder, `size` in bytes, number of `rows` and partition `value`, for each file.
    """
    run = run or uuid4().hex
    begun, writers = time.monotonic(), dict[str | None, _FileWriter]()
    for batch in batches:
        for value, table in _split(pa.Table.from_batches([batch]).cast(schema), column):
            if value not in writers:
                writers[value] = _FileWriter(folder, f"{column}={value}/{run}" if column else run, table)
            writers[value].write(table)
        if time.monotonic() - begun >= max_seconds:
            yield from _close(writers)
            begun = time.monotonic()
        cpu_timer.lap("write")
    yield from _close(writers)
    cpu_timer.lap("write")


def _close(writers: dict[str | None, "_FileWriter"]) -> Iterator[dict[str, object]]:
    while writers:
        value, writer = writers.popitem()
        yield writer.close() | {"value": value}


def _split(table: pa.Table, column: str | None) -> Iterator[tuple[str | None, pa.Table]]:
    if column is None:
        yield None, table
        return
    values, rest = table[column], table.drop_columns(column)
    distinct = pc.unique(values)
    if len(distinct) == 1:  # as in most batches; to filter them would copy images and vectors
        yield str(distinct[0]), rest
        return
    for value in distinct:
        yield str(value), rest.filter(pc.is_in(values, pa.array([value])))


class _FileWriter:
    """One Parquet file that grows by row groups of bounded size; its first rows decide how vectors are encoded."""

    def __init__(self, folder: str, subfolder: str, first: pa.Table) -> None:
        self.filesystem, root = open_folder(folder)
        self.path = f"{subfolder}/{uuid4().hex}.parquet"
        self.file = f"{root}/{self.path}"
        self.filesystem.create_dir(self.file.rpartition("/")[0], recursive=True)
        vectors = [field.name for field in first.schema if field.type == pa.list_(pa.float32())]
        repetitive = {name for name in vectors if _has_few_values(first[name])}
        texts = [field.name for field in first.schema if field.type == pa.string()]
        self.writer = pq.ParquetWriter(
            self.file,
            first.schema,
            filesystem=self.filesystem,
            compression={leaf: "zstd" for leaf in _leaves(first.schema) if leaf != "content"},  # JPEGs are compressed
            use_dictionary=[*texts, *(f"{name}.list.element" for name in repetitive)],
            use_byte_stream_split=[f"{name}.list.element" for name in vectors if name not in repetitive],
        )
        self.waiting: list[pa.Table] = []
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        self.waiting.append(table)
        self.rows += table.num_rows
        if sum(each.nbytes for each in self.waiting) >= BUFFER_BYTES:
            self._flush()

    def close(self) -> dict[str, object]:
        self._flush()
        self.writer.close()
        return {"path": self.path, "size": self.filesystem.get_file_info(self.file).size, "rows": self.rows}

    def _flush(self) -> None:
        if self.waiting:
            table = pa.concat_tables(self.waiting)
            row_bytes = max(1, table.nbytes // table.num_rows)
            groups = math.ceil(table.num_rows / max(1, ROW_GROUP_BYTES // row_bytes))
            self.writer.write_table(table, row_group_size=math.ceil(table.num_rows / groups))
            self.waiting = []


def _has_few_values(vectors: pa.ChunkedArray) -> bool:
    """Whether values repeat, as in features of an int8 graph (256 values): a dictionary takes a third of the bytes."""
    return pc.count_distinct(pc.list_flatten(vectors.slice(0, SAMPLE_ROWS))).as_py() <= MAX_DICTIONARY_VALUES


def _leaves(schema: pa.Schema) -> Iterator[str]:
    """Parquet's names of the leaf columns."""
    for field in schema:
        if pa.types.is_list(field.type):
            yield f"{field.name}.list.element"
        elif pa.types.is_map(field.type):
            yield from (f"{field.name}.key_value.key", f"{field.name}.key_value.value")
        else:
            yield field.name
