"""Arrivals: whether what lies in the folder of a day is what was stored of it: what came late, and what is gone.

Only names, sizes and times are compared: no bytes are read.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

FACTS: Final = ("path", "length", "modified_at")
"""Columns of `list_files` and of the table `images` by which a file is known."""


@dataclass(frozen=True)
class Arrivals:
    """How a folder differs from what was stored of it.

    Attributes:
        late: paths of files that are new, or not what they were.
        gone: paths of stored files that the folder has no more.
        digest: of the late ones with size and time; empty where there are none.
    """

    late: tuple[str, ...]
    gone: tuple[str, ...]
    digest: str


def compare_files(listed: pa.Table, stored: pa.Table) -> Arrivals:
    """Compares the files of a folder with those that were stored of it; both have the columns `FACTS`."""
    present, known = _facts_of(listed), _facts_of(stored)
    late = sorted(present - known)
    gone = {path for path, *_ in known} - {path for path, *_ in present}
    digest = hashlib.sha256(repr(late).encode()).hexdigest() if late else ""
    return Arrivals(tuple(path for path, *_ in late), tuple(sorted(gone)), digest)


def _facts_of(files: pa.Table) -> set[tuple[str, int, int]]:
    columns = [files["path"], files["length"], files["modified_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())]
    return set(zip(*(column.to_pylist() for column in columns), strict=True))
