"""Late files: compares names, sizes and times of a day's files with its stored rows; reads no bytes."""

import hashlib
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.images.sidecar_files import SIDECAR, is_sidecar_path

FACTS: Final = ("path", "length", "modified_at")  # columns that identify a version of a file
STORED: Final = (*FACTS, "read_error")


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
    """Compares listed files with stored rows, sidecar files aside: a look at a folder may change or delete them.

    Args:
        listed: files with the columns `FACTS`.
        stored: rows of `images` with the columns `STORED`.
    """
    present, recorded = facts_of(listed), facts_of(stored)
    late = sorted(file for file in present - recorded if not is_sidecar_path(file[0]))
    is_photo = pc.fill_null(pc.not_equal(stored["read_error"], SIDECAR), True)
    gone = set(stored["path"].filter(is_photo).to_pylist()) - {path for path, *_ in present}
    digest = hashlib.sha256(repr(late).encode()).hexdigest() if late else ""
    return Arrivals(tuple(path for path, *_ in late), tuple(sorted(gone)), digest)


def facts_of(files: pa.Table) -> set[tuple[str, int, int]]:
    """Path, length and time of each file, with the columns `FACTS`."""
    columns = [files["path"], files["length"], files["modified_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())]
    return set(zip(*(column.to_pylist() for column in columns), strict=True))
