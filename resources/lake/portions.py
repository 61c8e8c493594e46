"""Portions: files that workers have completed are committed while a job goes on with others.

The driver lists the folder of the run: a Parquet file with a footer is complete. This costs the workers nothing, puts
no barrier between tasks, and needs no channel from them, so it works on every cluster and on Spark Connect.
"""

import threading
import time
from collections.abc import Mapping
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs
from pyspark.sql import Row

from pipeline.storage.files import open_folder
from pipeline.storage.rows import Appended
from resources.lake.commits import LakeError, append_rows, check_files


class PortionCommits:
    """Commits, in a thread and at the end of a failed job, the complete files of one run and one partition value.

    What cannot be committed now is left for the next portion; the caller commits the last one and gets its errors.
    """

    def __init__(self, delta: DeltaTable, folder: str, column: str, value: str, run: str, seconds: float) -> None:
        """Prepares commits in an interval of seconds; `run` is the folder of the files below that of the partition."""
        self.committed: set[str] = set()
        self._delta, self._folder, self._values = delta, folder, {column: value}
        self._subfolder, self._seconds = f"{column}={value}/{run}", seconds
        self._began = self._since = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._commit_regularly, name="portions", daemon=True)

    def __enter__(self) -> "PortionCommits":
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the thread; if the job failed, commits what it has completed."""
        self._closing.set()
        self._thread.join()
        if kind:
            self._try_to_commit()

    @property
    def seconds(self) -> float:
        """Wall-clock time until the last commit."""
        return self._since - self._began

    def commit(self, files: list[Row], cpu_seconds: Mapping[str, float]) -> None:
        """Commits files, as in `rows.WRITTEN`, and records the time since the last commit; nothing without files.

        Raises:
            LakeError: if a file has another size or other columns, or other writers win too often.
        """
        if not files:
            return
        check_files(self._folder, files, self._delta)
        row_count, now = sum(file.rows for file in files), time.monotonic()
        appended = Appended((), row_count, now - self._since, cpu_seconds)
        append_rows(self._folder, files, self._values, appended)
        self.committed |= {file.path for file in files}
        self._since = now

    def _commit_regularly(self) -> None:
        while not self._closing.wait(self._seconds):
            self._try_to_commit()

    def _try_to_commit(self) -> None:
        try:
            self.commit(self._find_complete(), {})
        except (LakeError, DeltaError, OSError):
            return  # the next portion includes these files

    def _find_complete(self) -> list[Row]:
        filesystem, root = open_folder(self._folder)
        (value,) = self._values.values()
        files = []
        for info in filesystem.get_file_info(fs.FileSelector(f"{root}/{self._subfolder}", allow_not_found=True)):
            path = f"{self._subfolder}/{info.base_name}"
            if path in self.committed or info.type != fs.FileType.File:
                continue
            try:
                rows = pq.read_metadata(info.path, filesystem=filesystem).num_rows
            except pa.ArrowInvalid:
                continue  # it has no footer yet
            size = filesystem.get_file_info(info.path).size
            files.append(Row(path=path, size=size, rows=rows, value=value))
        return files
