"""Purging: deletes the image bytes of old days, or their locations; all rows, and all derived from them, stay.

One commit replaces the day; the old files become orphans. The log of the table records that a day has no bytes, until
the day is read from the landing zone again.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.files import open_folder
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.stored_rows import StoredFile, complete_rows
from resources.lake.commits import (
    arrow_schema_of,
    check_files,
    is_purged,
    list_files,
    open_table,
    replace_rows,
    version_of,
)
from resources.lake.datasets import open_dataset
from resources.lake.lake import Lake

IMAGES = "images"
BYTES = ("content", "location")


def purge_days(lake: Lake, before: str) -> list[str]:
    """Purges the image bytes of all days before this one, except of reviewed images; returns the purged days.

    Raises:
        LakeError: if a day is being written; the days before it are purged.
    """
    delta = open_table(lake.folder(IMAGES))
    if delta is None:
        return []
    days = [day for day in lake.list_days(IMAGES) if day < before and not is_purged(delta, day)]
    folder = lake.folder("reviews")
    reviews = open_table(folder)
    ids = open_dataset(reviews, folder).to_table(["image_id"])["image_id"].to_pylist() if reviews else []
    for day in days:
        _purge_day(lake.folder(IMAGES), delta, day, pa.array(ids, pa.string()))
    return days


def list_purged(lake: Lake, days: Sequence[str]) -> list[str]:
    """The subset of these days whose image bytes are purged."""
    delta = open_table(lake.folder(IMAGES)) if days else None
    return [day for day in days if delta and is_purged(delta, day)]


def _purge_day(folder: str, delta: DeltaTable, day: str, kept_ids: pa.Array) -> None:
    before = version_of(delta, day)
    schema = arrow_schema_of(delta)
    batches = _read_purged(folder, list_files(delta, "day", [day]), kept_ids, schema)
    stored = [Row(**file) for file in write_batches(batches, schema, folder, "day", CpuTimer())]
    check_files(folder, stored, delta)
    replace_rows(folder, stored, {day: before}, is_purge=True)


def _read_purged(
    folder: str, files: tuple[StoredFile, ...], kept_ids: pa.Array, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Reads files by row groups, and bytes only of groups that contain an image to keep."""
    filesystem, root = open_folder(folder)
    others = [name for name in schema.names if name not in ("day", *BYTES)]
    for file in files:
        with pq.ParquetFile(f"{root}/{file.path}", filesystem=filesystem) as opened:
            for group in range(opened.num_row_groups):
                rows = opened.read_row_group(group, others)
                is_kept = pc.is_in(rows["image_id"], kept_ids)
                if pc.any(is_kept).as_py():
                    stored = opened.read_row_group(group, BYTES)
                    for name in stored.column_names:
                        rows = rows.append_column(name, pc.if_else(is_kept, stored[name], pa.scalar(None, pa.binary())))
                yield from complete_rows(rows, {"day": file.day}, schema).combine_chunks().to_batches()
