"""Maintenance: fewer files, a complete index of the feature cache, a short log; no row changes.

Files that no table needs any more are removed by `orphans.py`.
"""

from typing import Final, NamedTuple

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.files import open_folder
from resources.lake.commits import LakeError, list_files, open_written
from resources.lake.compaction import compact_table
from resources.lake.feature_cache import TABLE, open_index
from resources.lake.lake import Lake

LOG: Final = "_delta_log"


class Size(NamedTuple):
    """What a folder of the lake takes."""

    used_count: int = 0  # files that the present version of a table needs, or all files of another folder
    file_count: int = 0
    log_count: int = 0  # of the files, those of the log
    bytes: int = 0


def measure_lake(lake: Lake) -> dict[str, Size]:
    """Measures every table, and every other folder at the top of the lake, by name."""
    filesystem, root = open_folder(lake.root)
    found: dict[str, Size] = {}
    tables = set(lake.list_tables())
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True)):
        parts = info.path.removeprefix(root).lstrip("/").split("/")
        if info.type == fs.FileType.File:
            depth = 2 if "/".join(parts[:2]) in tables else 1
            name, is_log = "/".join(parts[:depth]), parts[depth : depth + 1] == [LOG]
            size = found.get(name, Size())
            count = size.file_count + 1
            found[name] = Size(count, count, size.log_count + is_log, size.bytes + info.size)
    for name in tables:
        found[name] = found[name]._replace(used_count=len(open_written(lake.folder(name)).file_uris()))
    return dict(sorted(found.items()))


def compact_lake(lake: Lake) -> list[str]:
    """Compacts all tables and completes the index of the feature cache.

    Returns:
        What is wrong with tables that could not be compacted or indexed; the others were.
    """
    problems = []
    for name in lake.list_tables():
        try:
            compact_table(lake.folder(name))
            if name == TABLE:
                _index_cache(lake.folder(name))
        except LakeError as error:
            problems.append(str(error))
    return problems


def shorten_logs(lake: Lake) -> None:
    """Writes a checkpoint of every table, and removes entries of its log that are older than 30 days."""
    for name in lake.list_tables():
        delta = open_written(lake.folder(name))
        delta.create_checkpoint()
        delta.cleanup_metadata()


def _index_cache(folder: str) -> None:
    delta = open_written(folder)
    for partition in delta.partitions():
        digest = partition["backbone"]
        try:
            open_index(folder, digest).merge(list_files(delta, "backbone", [digest]))
        except pa.ArrowInvalid as error:
            raise LakeError(f"{folder}: a file of the backbone {digest} is damaged ({error})") from error
