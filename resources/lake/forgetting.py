"""Forgetting an image: every table and its former versions lose it for good.

Files that contain the image are deleted at once, so a run that reads them fails: no run may be in progress.
"""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import fs
from pyspark.sql import Row

from pipeline.images.forgetting import forget_image, has_image
from pipeline.storage.columns.schema import is_textual
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.files import open_folder
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.stored_rows import read_rows
from resources.lake.commits import LakeError, arrow_schema_of, check_files, list_files, open_written, version_of
from resources.lake.feature_cache import TABLE, open_index
from resources.lake.lake import Lake
from resources.lake.swaps import Swap, commit_swaps, key_of, list_actions

MAX_ROUNDS: Final = 10


def forget_in_tables(lake: Lake, image_id: str) -> dict[str, int]:
    """Removes an image from all tables and from the files of their former versions.

    Returns:
        The number of deleted files by table.

    Raises:
        LakeError: if other runs keep writing the image.
    """
    deleted = {}
    for name in lake.list_tables():
        folder = lake.folder(name)
        _forget_in_rows(folder, image_id)
        if name == TABLE:
            _index_again(folder)
        deleted[name] = _delete_former_files(folder, image_id)
    return deleted


def _forget_in_rows(folder: str, image_id: str) -> None:
    delta = open_written(folder)
    columns = delta.metadata().partition_columns
    column = columns[0] if columns else None
    for _ in range(MAX_ROUNDS):
        delta = open_written(folder)
        found = [file for file in list_actions(delta) if _mentions(folder, file["path"], image_id)]
        if not found:
            return
        heir = _find_heir(folder, found, image_id)
        commit_swaps(folder, column, [_rewrite(folder, delta, column, file, image_id, heir) for file in found], False)
    raise LakeError(f"{folder}: other runs keep writing the image {image_id}: try again when they have ended")


def _rewrite(
    folder: str, delta: DeltaTable, column: str | None, file: dict[str, Any], image_id: str, heir: str | None
) -> Swap:
    schema, value = arrow_schema_of(delta), file.get(f"partition.{column}")
    constants = {column: value} if column else {}

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_rows(folder, file["path"], constants, schema):
            yield from forget_image(pa.Table.from_batches([batch]), image_id, heir).combine_chunks().to_batches()

    files = [Row(**new) for new in write_batches(batches(), schema, folder, column, CpuTimer())]
    check_files(folder, files, delta)
    text = None if value is None else str(value)
    (new,) = files or (None,)
    return Swap(text, version_of(delta, key_of(text)), [file], new)


def _find_heir(folder: str, files: list[dict[str, Any]], image_id: str) -> str | None:
    """The smallest other image of its leakage group, which is named by the smallest image; None in other tables."""
    ids = []
    for file in files:
        rows = _read_texts(folder, file["path"])
        if "group" in rows.column_names:
            is_other = pc.and_(pc.equal(rows["group"], image_id), pc.not_equal(rows["image_id"], image_id))
            ids += rows.filter(is_other)["image_id"].to_pylist()
    return min(ids, default=None)


def _delete_former_files(folder: str, image_id: str) -> int:
    """Deletes files that the table no longer needs and that contain the image, or that a killed run left unfinished."""
    filesystem, root = open_folder(folder)
    used = {file["path"] for file in list_actions(open_written(folder))}
    deleted_count = 0
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        path = info.path.removeprefix(root).lstrip("/")
        if info.type != fs.FileType.File or path.startswith("_") or path in used:
            continue
        try:
            is_kept = not _mentions(folder, path, image_id)
        except pa.ArrowInvalid:
            is_kept = False
        if not is_kept:
            filesystem.delete_file(info.path)
            deleted_count += 1
    return deleted_count


def _mentions(folder: str, path: str, image_id: str) -> bool:
    return has_image(_read_texts(folder, path), image_id)


def _read_texts(folder: str, path: str) -> pa.Table:
    """Reads the columns that may name an image."""
    filesystem, root = open_folder(folder)
    with pq.ParquetFile(filesystem.open_input_file(f"{root}/{path}")) as file:
        names = [field.name for field in file.schema_arrow if is_textual(field.type)]
        return file.read(names)


def _index_again(folder: str) -> None:
    delta = open_written(folder)
    for partition in delta.partitions():
        digest = partition["backbone"]
        open_index(folder, digest).merge(list_files(delta, "backbone", [digest]), is_forced=True)
