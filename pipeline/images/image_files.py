"""Image files: from a folder of files to one row per file, with its bytes or the place where they are.

The driver lists the folder and spreads the list; executors read the bytes, locally and from object stores alike. Of a
few local files the driver reads them itself, while Spark starts.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipeline.embed.contents import explain_error
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.reasons import CHANGED, TOO_MANY_BYTES
from pipeline.images.sidecar_files import SIDECAR, START_BYTES, is_below_sidecar_folder, is_sidecar, is_sidecar_path
from pipeline.reports.queries import Rows, query
from pipeline.reports.report import Report
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.files import LISTING, list_files, time_of
from pipeline.storage.local_frames import make_frame
from pipeline.storage.locations import is_local, locate_file, open_location, read_in_groups
from pipeline.storage.rows import LazyRows, rows_in_arrow, rows_of, rows_on_driver
from pipeline.storage.task_sharing import SharedRows, assign_tasks

FILE_COLUMNS: Final = """
    image_id string comment 'SHA-256 of the bytes, identifies an image; null if the file could not be read',
    path string comment 'path of the file below the folder that was read; bytes that are not UTF-8 are escaped',
    length long comment 'size of the file in bytes when it was listed',
    modified_at timestamp comment 'when the file was last changed, UTC',
    content binary comment 'bytes of the file; null if it could not be read, or if they are not stored',
    read_error string comment 'why there are no bytes, such as vanished or sidecar file; null if there are',
    location binary comment 'path or URI of the file that has the bytes, where they are not stored; null if they are'
"""
SCHEMA: Final = f"day date comment 'day on which the image arrived', {FILE_COLUMNS}"

_COUNTS: Final = """
    SELECT day, sum(length) / 1e6 AS megabytes, count(DISTINCT image_id) AS distinct_image_count,
        count(*) FILTER (read_error <> $sidecar) AS unreadable_count,
        count(*) FILTER (read_error = $sidecar) AS sidecar_count
    FROM images GROUP BY day
"""
TASK_BYTES: Final = 64 * 2**20
OPENING_BYTES: Final = 2**16  # cost of opening a file, expressed as bytes; bounds the number of small files in a task
BATCH_BYTES: Final = 2**20
DRIVER_FILES: Final = 2**12  # of .06 ms each, beside their bytes: less than a Spark job takes to start
DRIVER_BYTES: Final = 2**27


def read_images(spark: SparkSession, folder: str, max_bytes: int = DEFAULT_LIMITS.bytes) -> DataFrame:
    """Reads a folder or URI of images lazily: one row per file, in the columns of `FILE_COLUMNS`.

    Raises:
        FileNotFoundError: immediately, if the folder does not exist.
    """
    return read_files(lambda: spark, list_files(folder), FILE_COLUMNS, max_bytes).frame


def list_days(folders: Mapping[date, str | None]) -> pa.Table:
    """Lists the files of several days, in the columns of `LISTING` and `day`; a day without a folder has none.

    Raises:
        FileNotFoundError: if one of the folders does not exist.
    """
    listings = []
    for day, folder in folders.items():
        files = list_files(folder) if folder else LISTING.empty_table()
        listings.append(files.append_column("day", pa.array([day] * files.num_rows, pa.date32())))
    return pa.concat_tables(listings)


def read_days(
    open_spark: Callable[[], SparkSession],
    folders: Mapping[date, str | None],
    max_bytes: int = DEFAULT_LIMITS.bytes,
    is_stored: bool = True,
) -> LazyRows:
    """Reads the files of `list_days` lazily, in the columns of `SCHEMA`; other arguments are those of `read_files`."""
    return read_files(open_spark, list_days(folders), SCHEMA, max_bytes, is_stored)


def read_files(
    open_spark: Callable[[], SparkSession],
    files: pa.Table,
    schema: str,
    max_bytes: int = DEFAULT_LIMITS.bytes,
    is_stored: bool = True,
) -> LazyRows:
    """Reads the bytes of listed files lazily, in tasks of similar size, or on the driver if there is little to read.

    Args:
        open_spark: opens the session, if it is needed.
        files: result of `list_files`; it may have further columns.
        schema: DDL of the result: the columns of `FILE_COLUMNS` and any others of `files`.
        max_bytes: maximum size of a file; a larger one is not read.
        is_stored: whether the rows have the bytes of their files; else their location.
    """
    struct = parse_schema(schema)
    if files.num_rows == 0:
        return rows_of(make_frame(open_spark(), struct))
    tasks = assign_tasks([length + OPENING_BYTES for length in files["length"].to_pylist()], TASK_BYTES)
    listing = SharedRows(open_spark, files, tasks)
    arrow_schema = to_arrow_schema(struct)

    def read_batches(batches: Iterator[pa.RecordBatch], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for listed in batches:
            for batch in _read_batch(listed, arrow_schema, max_bytes, is_stored):
                cpu_timer.lap("read")
                yield batch

    return (rows_on_driver if _is_light(files) else rows_in_arrow)(listing, read_batches, struct)


def _is_light(files: pa.Table) -> bool:
    if files.num_rows > DRIVER_FILES or sum(files["length"].to_pylist()) > DRIVER_BYTES:
        return False
    return all(map(is_local, files["location"].to_pylist()))


def describe_images(images: Rows) -> dict[Day, Report]:
    """Counts the distinct images, bytes, unreadable files and sidecar files of each day."""
    return {row.pop("day"): Report(row) for row in query(_COUNTS, {"sidecar": SIDECAR}, images=images)}


def _read_batch(batch: pa.RecordBatch, schema: pa.Schema, max_bytes: int, is_stored: bool) -> Iterator[pa.RecordBatch]:
    rows = [row | {"location": locate_file(row["folder"], row["location"])} for row in batch.to_pylist()]
    for start, found in read_in_groups(rows, lambda row: _read_file(row, max_bytes), BATCH_BYTES):
        read = [
            row
            | {
                "image_id": None if content is None else hashlib.sha256(content).hexdigest(),
                "content": content if is_stored else None,
                "location": None if is_stored or content is None else row["location"],
                "read_error": read_error,
            }
            for row, (content, read_error) in zip(rows[start : start + len(found)], found, strict=True)
        ]
        yield pa.RecordBatch.from_pylist(read, schema)


def _read_file(listed: Mapping[str, Any], max_bytes: int) -> tuple[bytes | None, str | None]:
    """Reads the bytes of a listed file; returns them, or the reason why there are none."""
    location, path, length = listed["location"], listed["path"], listed["length"]
    if is_below_sidecar_folder(path):
        return None, SIDECAR
    is_too_large = length > max_bytes
    if is_too_large and not is_sidecar(path, b""):
        return None, TOO_MANY_BYTES
    try:
        with open_location(location) as stream:
            # one byte more than listed, but not all, if the file has grown
            content = stream.read(START_BYTES if is_too_large else length + 1)
        is_unchanged = not is_local(location) or time_of(os.stat(location)) == listed["modified_at"]
    except OSError as error:
        return None, SIDECAR if is_sidecar_path(path) else explain_error(error)
    if is_sidecar(path, content[:START_BYTES]):
        return None, SIDECAR
    if is_too_large:
        return None, TOO_MANY_BYTES
    return (content, None) if len(content) == length and is_unchanged else (None, CHANGED)
