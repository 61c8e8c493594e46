"""Digest index: where the ids of a table lie in its files, so that a lookup need not read all ids.

It only saves reading. Rows that it names are compared with the table, files that it lacks are read whole, and it is
completed by the lookups that have to: a lost or damaged index costs one slow lookup.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.files import open_folder
from pipeline.storage.index_segments import (
    READ_ROWS,
    Segment,
    delete_all_but,
    keys_of,
    list_segments,
    merge_segments,
    sort_rows,
    write_segment,
)
from pipeline.storage.stored_rows import StoredFile, group_files

MAX_UNINDEXED_FILES: Final = 64  # a lookup reads the ids of as many new files in a third of a second
MAX_UNINDEXED_ROWS: Final = 2**17
MAX_SEGMENTS: Final = 8

RowNumbers = Mapping[str, np.ndarray]
"""Numbers of rows, sorted, by path of their file."""


@dataclass(frozen=True)
class DigestIndex:
    """The index of some files of a table.

    Attributes:
        table: folder or URI of the table.
        folder: folder or URI of the segments.
        column: column of the ids.
    """

    table: str
    folder: str
    column: str = "image_id"

    def find_rows(self, files: Sequence[StoredFile], ids: pa.Array | pa.ChunkedArray) -> RowNumbers:
        """Finds the rows that may have one of these ids.

        Args:
            files: files of the table.
            ids: SHA-256 in hexadecimal.

        Returns:
            Rows of every indexed file, mostly none; a file that is not indexed yet is no key.
        """
        owners = self.complete(files)
        keys = np.unique(keys_of(ids))
        found: dict[str, np.ndarray] = {}
        for segment, paths in owners.items():
            try:
                numbers, rows = segment.search(keys)
            except FileNotFoundError:  # merged into another one meanwhile
                continue
            order = np.lexsort((rows, numbers))
            numbers, rows = numbers[order], rows[order]
            for number, path in enumerate(segment.files):
                if path in paths:
                    found[path] = rows[np.searchsorted(numbers, number) : np.searchsorted(numbers, number, "right")]
        return found

    def complete(self, files: Sequence[StoredFile], is_complete: bool = False) -> dict[Segment, frozenset[str]]:
        """Indexes files that are not indexed, if they are many or `is_complete`.

        Returns:
            The segments in use, each with those of the files whose rows it gives.
        """
        owners = self._find_owners(files)
        indexed = frozenset[str]().union(*owners.values())
        missing = [file for file in files if file.path not in indexed]
        row_count = sum(file.row_count for file in missing)
        if is_complete or len(missing) > MAX_UNINDEXED_FILES or row_count > MAX_UNINDEXED_ROWS:
            try:
                added = [self._index(together) for together in group_files(missing, READ_ROWS)]
            except OSError:
                if is_complete:
                    raise
                return owners  # a full or read-only disk must not stop a lookup
            owners |= {segment: frozenset(segment.files) for segment in added}
        return owners

    def merge(self, files: Sequence[StoredFile], is_forced: bool = False) -> None:
        """Indexes all files, merges the segments if they are many or half of their rows are gone, and deletes others.

        Lookups may run meanwhile: one that misses a segment reads its files whole.

        Args:
            files: all files of the index.
            is_forced: whether to merge in any case, so that no row of another file is left.

        Raises:
            OSError: if the index cannot be written.
        """
        owners = self.complete(files, is_complete=True)
        held = sum(segment.row_count for segment in owners)
        used = set(owners)
        if is_forced or len(owners) > MAX_SEGMENTS or held > 2 * sum(file.row_count for file in files):
            used = {merge_segments(self.folder, {segment: sorted(paths) for segment, paths in owners.items()})}
        delete_all_but(self.folder, {segment.name for segment in used})

    def _find_owners(self, files: Collection[StoredFile]) -> dict[Segment, frozenset[str]]:
        """Assigns each indexed file to the largest segment that has it."""
        waiting, owners = {file.path for file in files}, {}
        for segment in list_segments(self.folder):
            if owned := waiting.intersection(segment.files):
                owners[segment] = frozenset(owned)
                waiting -= owned
        return owners

    def _index(self, files: Sequence[StoredFile]) -> Segment:
        keys = [self._read_keys(file.path) for file in files]
        counts = [len(each) for each in keys]
        numbers = np.repeat(np.arange(len(files)), counts)
        rows = np.concatenate([np.arange(count) for count in counts])
        return write_segment(
            self.folder, [file.path for file in files], [sort_rows(np.concatenate(keys), numbers, rows)]
        )

    def _read_keys(self, path: str) -> np.ndarray:
        filesystem, root = open_folder(self.table)
        with pq.ParquetFile(filesystem.open_input_file(f"{root}/{path}")) as file:
            keys = [keys_of(batch[self.column]) for batch in file.iter_batches(columns=[self.column])]
        return np.concatenate([np.empty(0, np.uint64), *keys])
