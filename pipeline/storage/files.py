"""Complete listings of local folders and object stores, whatever the file names.

Spark's own listing silently drops names such as `_DSC0001.JPG`, and `pyarrow.fs` fails on names that are not UTF-8.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.object_stores import is_uri, open_store

DRAFT: Final = ".draft"
LISTING: Final = pa.schema(
    {
        "folder": pa.string(),
        "location": pa.binary(),
        "path": pa.string(),
        "length": pa.int64(),
        "modified_at": pa.timestamp("us", tz="UTC"),
    }
)
"""Columns of `list_files`."""


def open_folder(folder: str) -> tuple[fs.FileSystem, str]:
    """Opens a folder or a URI (`s3://`, `gs://`, `abfss://`) as file system and path."""
    if is_uri(folder):
        return open_store(folder)
    return fs.LocalFileSystem(), os.path.abspath(folder)


@contextmanager
def replace_file(filesystem: fs.FileSystem, path: str) -> Iterator[pa.NativeFile]:
    """Opens a file to be written, which readers see once it is complete; object stores are so by themselves.

    A killed process leaves a draft, which ends in `DRAFT`.
    """
    draft = f"{path}.{uuid4().hex}{DRAFT}" if isinstance(filesystem, fs.LocalFileSystem) else path
    with filesystem.open_output_stream(draft) as sink:
        yield sink
    if draft != path:
        filesystem.move(draft, path)


def list_files(folder: str) -> pa.Table:
    """Lists every file below a folder, sorted by path, including hidden files and unusual names.

    Returns:
        A table of `folder`, `location` (full name in its file system, as bytes since names may not be text), `path`
        (below the folder), `length` in bytes and `modified_at`.

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    filesystem, root = open_folder(folder)
    files = sorted(_scan(root) if isinstance(filesystem, fs.LocalFileSystem) else _select(filesystem, root))
    paths = [file.location.removeprefix(os.fsencode(root)).lstrip(b"/") for file in files]
    return pa.table(
        [
            [folder] * len(files),
            [file.location for file in files],
            [path.decode("utf-8", "backslashreplace") for path in paths],
            [file.length for file in files],
            [file.modified_at for file in files],
        ],
        LISTING,
    )


def time_of(status: os.stat_result) -> datetime:
    """Modification time of a local file."""
    return datetime.fromtimestamp(status.st_mtime, UTC)


class _File(NamedTuple):
    location: bytes
    length: int
    modified_at: datetime


def _select(filesystem: fs.FileSystem, root: str) -> Iterator[_File]:
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type == fs.FileType.File:
            yield _File(info.path.encode(), info.size, info.mtime)


def _scan(root: str) -> Iterator[_File]:
    """Lists a local folder: `pyarrow.fs` fails on names that are not UTF-8, and follows a link cycle forty times."""
    waiting, seen = [os.fsencode(root)], set()
    while waiting:
        folder = waiting.pop()
        if (real_folder := os.path.realpath(folder)) in seen:
            continue
        seen.add(real_folder)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            try:
                status = entry.stat()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue  # deleted in the meantime, or a dangling link
                raise
            if stat.S_ISDIR(status.st_mode):
                waiting.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                yield _File(entry.path, status.st_size, time_of(status))
