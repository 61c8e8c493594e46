"""Images: from a folder of files to one row per file, bytes included.

The driver lists (`files.py`) and spreads the list; executors read the bytes with `pyarrow.fs`, so that one path serves
a laptop and an object store. Labels are `labels.py`, pixels `preprocess.py`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Final

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.files import list_files, open_folder
from pipeline.report import Report, only_row
from pipeline.rows import Rows, rows_in_arrow, rows_of
from pipeline.schema import parse_schema
from pipeline.stopwatch import Stopwatch
from pipeline.tasks import assign_tasks

FILE_COLUMNS: Final = """
    image_id string comment 'SHA-256 of the bytes, the identity of a picture; null where the file could not be read',
    path string comment 'path of the file below the folder that was read; bytes that are not UTF-8 stand as escapes',
    length long comment 'size of the file in bytes when it was listed',
    modified_at timestamp comment 'when the file was last changed, UTC',
    content binary comment 'the bytes of the file; null where it could not be read',
    read_error string comment 'why the bytes could not be read; null where they could'
"""
SCHEMA: Final = f"day date comment 'the day on which the picture arrived', {FILE_COLUMNS}"

VANISHED: Final = "vanished"
TOO_MANY_BYTES: Final = "too many bytes"
UNREADABLE: Final = "unreadable"

MAX_FILE_BYTES: Final = 256 * 2**20
"""Larger files are rejected unread: an Arrow cell must stay far below its limit of 2 GiB."""

TASK_BYTES: Final = 32 * 2**20
OPENING_BYTES: Final = 2**16
"""What opening a file costs, as if it were so many bytes more: bounds the number of small files in a task."""

BATCH_BYTES: Final = 2**20


def read_images(spark: SparkSession, folder: str) -> DataFrame:
    """Reads a folder of pictures, lazily: one row per file, in the columns of `FILE_COLUMNS`.

    Raises:
        FileNotFoundError: at once, where the folder does not exist.
    """
    return read_files(spark, list_files(folder), FILE_COLUMNS).frame


def read_days(spark: SparkSession, folders: Mapping[date, str]) -> Rows:
    """Reads the folders of several days, lazily, in the columns of `SCHEMA`.

    Raises:
        FileNotFoundError: at once, where one of the folders does not exist.
    """
    listings = [_list_day(day, folder) for day, folder in folders.items()]
    return read_files(spark, pa.concat_tables(listings), SCHEMA)


def read_files(spark: SparkSession, files: pa.Table, schema: str) -> Rows:
    """Reads the bytes of listed files in the executors, lazily, in tasks of about the same number of bytes.

    Args:
        spark: the session.
        files: as `list_files` gives it; it may have further columns.
        schema: DDL of the result: the columns of `FILE_COLUMNS` and any others of `files`.
    """
    struct = parse_schema(schema)
    if files.num_rows == 0:
        return rows_of(spark.createDataFrame([], struct))
    tasks = assign_tasks([length + OPENING_BYTES for length in files["length"].to_pylist()], TASK_BYTES)
    files = files.append_column("task", pa.array(tasks, pa.int32()))
    listing = spark.createDataFrame(
        files.combine_chunks()
    )  # at an empty chunk, such as a day's, Spark would stop reading
    arrow_schema = to_arrow_schema(struct, timezone="UTC")

    def read_batches(batches: Iterator[pa.RecordBatch], stopwatch: Stopwatch) -> Iterator[pa.RecordBatch]:
        for listed in batches:
            for batch in _read_batch(listed, arrow_schema):
                stopwatch.lap("read")
                yield batch

    return rows_in_arrow(listing.repartitionById(max(tasks) + 1, "task"), read_batches, struct)


def describe_images(images: DataFrame) -> Report:
    """How much arrived, and what could not be read."""
    found = only_row(
        images.select(
            F.sum("length").alias("bytes"),
            F.count_distinct("image_id").alias("pictures"),
            F.count("read_error").alias("bad"),
        )
    )
    return Report(
        numbers={
            "megabytes": found["bytes"] / 1e6,
            "distinct_picture_count": found["pictures"],
            "unreadable_count": found["bad"],
        }
    )


def _list_day(day: date, folder: str) -> pa.Table:
    files = list_files(folder)
    return files.append_column("day", pa.array([day] * files.num_rows, pa.date32()))


def _read_batch(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, object]] = []
    size = 0
    for row in batch.to_pylist():
        row |= _read_file(row["folder"], row["location"], row["length"])
        rows.append(row)
        size += row["length"]
        if size >= BATCH_BYTES:
            yield pa.RecordBatch.from_pylist(rows, schema)
            rows, size = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema)


def _read_file(folder: str, location: bytes, length: int) -> dict[str, str | bytes | None]:
    if length > MAX_FILE_BYTES:
        return {"image_id": None, "content": None, "read_error": TOO_MANY_BYTES}
    try:
        with _filesystem(folder).open_input_stream(location) as stream:
            content = stream.read()
    except FileNotFoundError:
        return {"image_id": None, "content": None, "read_error": VANISHED}
    except OSError:
        return {"image_id": None, "content": None, "read_error": UNREADABLE}
    return {"image_id": hashlib.sha256(content).hexdigest(), "content": content, "read_error": None}


@cache
def _filesystem(folder: str) -> fs.FileSystem:
    """Opens a file system once per worker: an object store may be asked first where the bucket lies."""
    return open_folder(folder)[0]
