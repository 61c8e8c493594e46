"""Locations: names by which a file is opened anywhere, without its folder; bytes, since names may not be text.

A location is an absolute path, or `<scheme>://<bucket>/<key>` in an object store, whose key is not escaped.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.object_stores import open_store

READERS: Final = 8  # objects that a worker reads at once: each waits for the network longer than it takes to embed
Result = TypeVar("Result")
URI: Final = re.compile(rb"(\w+://[^/]+)/(.+)", re.DOTALL)


def locate_file(folder: str, name: bytes) -> bytes:
    """Returns the location of a file.

    Args:
        folder: folder or URI in which it was listed.
        name: its full name in the file system of the folder, as in `files.LISTING`.
    """
    if is_local(name):
        return name
    store, key = urlsplit(folder), name.partition(b"/")[2]
    return f"{store.scheme}://{store.netloc}/".encode() + key


def is_local(location: bytes) -> bool:
    """Whether a location is a path of this machine; also for full names in file systems, where buckets come first."""
    return location.startswith(b"/")


def open_location(location: bytes) -> pa.NativeFile:
    """Opens a file for reading.

    Raises:
        OSError: if it cannot be opened; FileNotFoundError if it does not exist.
    """
    if is_local(location):
        return fs.LocalFileSystem().open_input_stream(location)
    found = URI.fullmatch(location)
    if found is None:
        raise FileNotFoundError(f"{location!r:.200} is not a location")
    filesystem, bucket = _open_bucket(found[1].decode())
    return filesystem.open_input_stream(f"{bucket}/{found[2].decode()}")


def read_in_groups(
    rows: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Result], group_bytes: int
) -> Iterator[tuple[int, list[Result]]]:
    """Reads the files of rows, in groups that bound the memory.

    Of an object store several are read at once, and the next group while the caller works on one.

    Args:
        rows: with `location`, or null where there is nothing to read, and `length` in bytes.
        read: reads the file of a row.
        group_bytes: size at which a group is complete.

    Yields:
        For each group the number of its first row, and the results in the order of the rows.
    """
    begun = ((start, _begin(group, read)) for start, group in _group(rows, group_bytes))
    present = next(begun, None)
    while present:
        ahead = next(begun, None)
        yield present[0], list(present[1])
        present = ahead


def _group(rows: Sequence[Mapping[str, Any]], group_bytes: int) -> Iterator[tuple[int, Sequence[Mapping[str, Any]]]]:
    start, size = 0, 0
    for number, row in enumerate(rows):
        size += row["length"]
        if size >= group_bytes or number == len(rows) - 1:
            yield start, rows[start : number + 1]
            start, size = number + 1, 0


def _begin(group: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Result]) -> Iterator[Result]:
    """Begins to read objects; files are read when their results are asked for."""
    is_remote = any(row["location"] and not is_local(row["location"]) for row in group)
    return _open_readers().map(read, group) if is_remote else map(read, group)


@cache
def _open_readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS)


@cache
def _open_bucket(uri: str) -> tuple[fs.FileSystem, str]:
    """Opens a bucket once per worker: an object store may need a request for its region."""
    return open_store(uri)
