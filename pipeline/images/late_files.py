"""Late files: compares names, sizes and times of a day's files with its stored rows; reads no bytes."""

import hashlib
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

FACTS: Final = ("path", "length", "modified_at")  # columns that identify a version of a file


@dataclass(frozen=True)
class Arrivals:
    """Differences between a folder and its stored rows.

    Attributes:
        late: paths of new or changed files.
        gone: paths of stored files that are no longer in the folder.
        digest: SHA-256 of the late files' paths, sizes and times; empty if there are none.
    """

    late: tuple[str, ...]
    gone: tuple[str, ...]
    digest: str


def compare_files(listed: pa.Table, stored: pa.Table) -> Arrivals:
    """Compares listed files with stored rows; both tables have the columns `FACTS`."""
    present, recorded = _facts_of(listed), _facts_of(stored)
    late = sorted(present - recorded)
    gone = {path for path, *_ in recorded} - {path for path, *_ in present}
    digest = hashlib.sha256(repr(late).encode()).hexdigest() if late else ""
    return Arrivals(tuple(path for path, *_ in late), tuple(sorted(gone)), digest)


def _facts_of(files: pa.Table) -> set[tuple[str, int, int]]:
    columns = [files["path"], files["length"], files["modified_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())]
    return set(zip(*(column.to_pylist() for column in columns), strict=True))
