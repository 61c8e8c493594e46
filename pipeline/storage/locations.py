"""Locations: names by which a file is opened anywhere, without its folder; bytes, since names may not be text.

A location is an absolute path, or `<scheme>://<bucket>/<key>` in an object store, whose key is not escaped.
"""

import re
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.object_stores import open_store

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


@cache
def _open_bucket(uri: str) -> tuple[fs.FileSystem, str]:
    """Opens a bucket once per worker: an object store may need a request for its region."""
    return open_store(uri)
