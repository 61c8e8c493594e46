"""Contents: the bytes of an image, from its row if they are stored there, else from its file if that is unchanged.

Only this module knows both places; whoever needs bytes hands it rows with `COLUMNS`. Purged bytes are in neither.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from pipeline.embed.reasons import CHANGED, PURGED, UNREADABLE, VANISHED
from pipeline.storage.locations import open_location, read_in_groups

COLUMNS: Final = ("image_id", "length", "content", "location")
HAS_BYTES: Final = "content is not null or location is not null"
"""SQL: whether the bytes of a row were not purged."""
CONTENTS_SCHEMA: Final = "image_id string, content binary"
SLICE_BYTES: Final = 2**21  # of files, unless one is larger, that are read at once


@dataclass(frozen=True)
class Contents:
    """The bytes of some images.

    Attributes:
        rows: rows of the images, as they were given.
        bytes: their bytes; null where there are none.
        reasons: why there are none, by number of the image.
    """

    rows: pa.RecordBatch
    bytes: pa.Array
    reasons: Mapping[int, str] = field(default_factory=dict)


def choose_columns(names: Collection[str]) -> list[str]:
    """The columns to read the bytes from; tables of an earlier version lack `location`."""
    return [name for name in COLUMNS if name in names]


def read_contents(rows: pa.RecordBatch) -> Iterator[Contents]:
    """Reads the bytes of rows with `choose_columns`, in their order; slices of about `SLICE_BYTES` at once."""
    if rows.num_rows and rows["content"].null_count == 0:
        yield Contents(rows, rows["content"])
        return
    whole = [{"location": None, "length": 0} | row for row in rows.to_pylist()]
    for start, found in read_in_groups(whole, _read_row, SLICE_BYTES):
        contents, reasons = zip(*found, strict=True)
        yield Contents(
            rows.slice(start, len(found)),
            pa.array(contents, pa.binary()),
            {number: reason for number, reason in enumerate(reasons) if reason},
        )


def fill_contents(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For `mapInArrow`, from `choose_columns` to `CONTENTS_SCHEMA`, without images whose bytes cannot be read."""
    for batch in batches:
        for read in read_contents(batch):
            rows = pa.RecordBatch.from_arrays([read.rows["image_id"], read.bytes], ["image_id", "content"])
            yield rows.filter(read.bytes.is_valid())


def explain_error(error: OSError) -> str:
    """The reason why a file could not be read."""
    return VANISHED if isinstance(error, FileNotFoundError) else UNREADABLE


def _read_row(row: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """Reads the bytes of a row; returns them, or the reason why there are none."""
    if row["content"] is not None:
        return row["content"], None
    if row["location"] is None:
        return None, PURGED
    try:
        with open_location(row["location"]) as stream:
            content = stream.read(row["length"] + 1)  # one byte more than listed, but not all, if the file has grown
    except OSError as error:
        return None, explain_error(error)
    is_unchanged = hashlib.sha256(content).hexdigest() == row["image_id"]
    return (content, None) if is_unchanged else (None, CHANGED)
