"""Index segments: Parquet files of the places of rows, sorted by the first eight bytes of their id.

A segment never changes. It is found whole or not at all: a writer names it only when it is complete.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.storage.files import DRAFT, open_folder, replace_file

SCHEMA: Final = pa.schema({"key": pa.uint64(), "file": pa.int32(), "row": pa.int32()})
"""Key of an id, number of its file in the segment's list, and number of its row in the file."""

FILES: Final = "files"  # in the metadata: paths, in the order of their numbers
ENDING: Final = ".parquet"
DRAFT_HOURS: Final = 24
GROUP_ROWS: Final = 2**16
READ_ROWS: Final = 2**20  # held at once; their keys take 8 MB
KEY_DIGITS: Final = 16  # hexadecimal
NO_FILE: Final = -1


@dataclass(frozen=True)
class Segment:
    """A segment below a folder or URI, and the files of the table whose rows it has, all of them."""

    folder: str
    name: str
    files: tuple[str, ...]
    row_count: int

    def search(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds rows by their keys; reads at most `READ_ROWS` at once.

        Args:
            keys: sorted and distinct, as from `keys_of`.

        Returns:
            Numbers of the files, and numbers of the rows in them.
        """
        found = [np.empty((0, 2), np.int32)]
        with self._open() as file:
            for groups in _batches(_groups_with(file, keys), READ_ROWS // GROUP_ROWS):
                stored = file.read_row_groups(groups, ["key"], use_threads=False)["key"].to_numpy()
                wanted = keys[np.searchsorted(keys, stored[0]) : np.searchsorted(keys, stored[-1], "right")]
                begins, ends = (np.searchsorted(stored, wanted, side) for side in ("left", "right"))
                if (ends > begins).any():
                    rows = np.concatenate([np.arange(*each) for each in zip(begins, ends, strict=True)])
                    places = file.read_row_groups(groups, ["file", "row"], use_threads=False).take(rows)
                    found.append(np.column_stack([places["file"].to_numpy(), places["row"].to_numpy()]))
        return tuple(np.concatenate(found).T)

    def read_range(self, first: int, last: int) -> pa.Table:
        """Reads the rows with keys from `first` to `last`."""
        with self._open() as file:
            groups = _groups_with(file, np.array([first, last], np.uint64), is_range=True)
            rows = file.read_row_groups(groups, use_threads=False)
        keys = rows["key"].to_numpy()
        begin, end = np.searchsorted(keys, np.uint64(first)), np.searchsorted(keys, np.uint64(last), "right")
        return rows.slice(begin, end - begin)

    def _open(self) -> pq.ParquetFile:
        filesystem, root = open_folder(self.folder)
        return pq.ParquetFile(filesystem.open_input_file(f"{root}/{self.name}"), pre_buffer=True)


def keys_of(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The first eight bytes of each id, as uint64.

    Args:
        ids: SHA-256 in hexadecimal, none null.

    Raises:
        ValueError: if the first digits of an id are not hexadecimal.
    """
    keys = np.empty(len(ids), np.uint64)
    begin = 0
    for chunk in ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]:
        digits = "".join(text[:KEY_DIGITS] for text in chunk.to_pylist())
        keys[begin : begin + len(chunk)] = np.frombuffer(bytes.fromhex(digits), ">u8")
        begin += len(chunk)
    return keys


def list_segments(folder: str) -> list[Segment]:
    """Lists the segments of an index, those with most rows first; damaged ones are left out."""
    filesystem, root = open_folder(folder)
    segments = []
    for info in filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True)):
        if info.base_name.endswith(ENDING):
            try:
                metadata = pq.read_metadata(info.path, filesystem=filesystem)
            except (pa.ArrowInvalid, FileNotFoundError):
                continue
            files = json.loads(metadata.metadata[FILES.encode()])
            segments.append(Segment(folder, info.base_name, tuple(files), metadata.num_rows))
    return sorted(segments, key=lambda segment: (-segment.row_count, segment.name))


def write_segment(folder: str, files: Sequence[str], rows: Iterable[pa.Table]) -> Segment:
    """Writes a segment.

    Args:
        folder: folder of the index; made if there is none.
        files: paths of the files that it covers.
        rows: tables of `SCHEMA`, sorted by key over all of them.

    Raises:
        OSError: if it cannot be written.
    """
    filesystem, root = open_folder(folder)
    filesystem.create_dir(root, recursive=True)
    name = f"{uuid4().hex}{ENDING}"
    schema = SCHEMA.with_metadata({FILES: json.dumps(list(files))})
    row_count = 0
    with (
        replace_file(filesystem, f"{root}/{name}") as sink,
        pq.ParquetWriter(sink, schema, compression="none", use_dictionary=False) as writer,
    ):
        for table in rows:
            writer.write_table(table.cast(schema), row_group_size=GROUP_ROWS)
            row_count += table.num_rows
    return Segment(folder, name, tuple(files), row_count)


def sort_rows(keys: np.ndarray, files: np.ndarray, rows: np.ndarray) -> pa.Table:
    """A table of `SCHEMA`, sorted by key."""
    order = np.argsort(keys, kind="stable")
    return pa.table([keys[order], files[order].astype(np.int32), rows[order].astype(np.int32)], schema=SCHEMA)


def merge_segments(folder: str, owners: Mapping[Segment, Sequence[str]]) -> Segment:
    """Merges segments into a new one; holds about `READ_ROWS` rows at once.

    Args:
        folder: folder of the index.
        owners: segments, each with the files whose rows are taken from it; a file has one segment.
    """
    files = [path for paths in owners.values() for path in paths]
    numbers = {path: number for number, path in enumerate(files)}
    maps = {
        segment: np.array([numbers[path] if path in paths else NO_FILE for path in segment.files], np.int32)
        for segment, paths in ((segment, frozenset(paths)) for segment, paths in owners.items())
    }
    range_count = max(1, sum(segment.row_count for segment in owners) // READ_ROWS)
    bounds = [number * 2**64 // range_count for number in range(range_count + 1)]

    def read_ranges() -> Iterator[pa.Table]:
        for begin, end in pairwise(bounds):
            parts = [(segment.read_range(begin, end - 1), places) for segment, places in maps.items()]
            keys = np.concatenate([rows["key"].to_numpy() for rows, _ in parts])
            owned = np.concatenate([places[rows["file"].to_numpy()] for rows, places in parts])
            numbers = np.concatenate([rows["row"].to_numpy() for rows, _ in parts])
            is_kept = owned != NO_FILE
            yield sort_rows(keys[is_kept], owned[is_kept], numbers[is_kept])

    return write_segment(folder, files, read_ranges())


def delete_all_but(folder: str, names: Collection[str]) -> None:
    """Deletes other segments, and drafts that a killed run left `DRAFT_HOURS` ago."""
    filesystem, root = open_folder(folder)
    before = datetime.now(UTC) - timedelta(hours=DRAFT_HOURS)
    for info in filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True)):
        is_draft = info.base_name.endswith(DRAFT)
        if info.mtime < before if is_draft else info.base_name not in names:
            filesystem.delete_file(info.path)


def _groups_with(file: pq.ParquetFile, keys: np.ndarray, is_range: bool = False) -> list[int]:
    """Row groups whose statistics do not exclude all the keys, or all keys from the first to the last."""
    statistics = [file.metadata.row_group(number).column(0).statistics for number in range(file.num_row_groups)]
    lows, highs = (np.array([getattr(each, side) for each in statistics], np.uint64) for side in ("min", "max"))
    if is_range:
        return np.flatnonzero((highs >= keys[0]) & (lows <= keys[-1])).tolist()
    return np.flatnonzero(np.searchsorted(keys, lows) < np.searchsorted(keys, highs, "right")).tolist()


def _batches(numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    for begin in range(0, len(numbers), size):
        yield list(numbers[begin : begin + size])
