"""Emptying: the bytes of a day's pictures are let go; all its rows stay, and with them what was made of them.

In one commit, as a day is replaced; the files that had the bytes go with the other leftovers. That a day has no bytes
stands in the log of the table, until it is read from the landing zone again.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql import Row
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.images.image_files import SCHEMA
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.files import open_folder
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.schema import parse_schema
from pipeline.storage.stored_rows import StoredFile
from resources.lake.commits import check_files, replace_rows, version_of

CONTENT = "content"


def empty_day(folder: str, delta: DeltaTable, day: str, files: tuple[StoredFile, ...], kept: pa.Array) -> None:
    """Writes the rows of a day anew without their bytes, but for pictures that are kept.

    Args:
        folder: of the table of images.
        delta: that table.
        day: that is emptied.
        files: of the day.
        kept: ids of pictures that keep their bytes.

    Raises:
        LakeError: where another run wrote the day meanwhile: its rows stand.
    """
    before = version_of(delta, day)
    schema = to_arrow_schema(parse_schema(SCHEMA), timezone="UTC")
    batches = _read_emptied(folder, files, kept, schema)
    stored = [Row(**file) for file in write_batches(batches, schema, folder, "day", CpuTimer())]
    check_files(folder, stored, delta)
    replace_rows(folder, stored, {day: before}, is_emptied=True)


def _read_emptied(
    folder: str, files: tuple[StoredFile, ...], kept: pa.Array, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of a day, a row group at a time; bytes are read only where one of its pictures is kept."""
    filesystem, root = open_folder(folder)
    others = [name for name in schema.names if name not in ("day", CONTENT)]
    for file in files:
        with pq.ParquetFile(f"{root}/{file.path}", filesystem=filesystem) as opened:
            for group in range(opened.num_row_groups):
                rows = opened.read_row_group(group, others)
                is_kept = pc.is_in(rows["image_id"], kept)
                contents = pa.nulls(rows.num_rows, pa.binary())
                if pc.any(is_kept).as_py():
                    contents = pc.if_else(is_kept, opened.read_row_group(group, [CONTENT])[CONTENT], contents)
                days = pa.repeat(pa.scalar(file.day, pa.date32()), rows.num_rows)
                table = rows.append_column(CONTENT, contents).append_column("day", days)
                yield from table.select(schema.names).cast(schema).combine_chunks().to_batches()
