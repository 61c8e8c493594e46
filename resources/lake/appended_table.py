"""Appended tables: tables of the lake that only grow, partitioned by one column, such as the feature cache.

Any number of runs may append at once, so readers must tolerate duplicates. What workers have finished is committed
while they go on (`portions.py`), so a killed run has to repeat little.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.rows import Appended, LazyRows
from pipeline.storage.stored_rows import StoredFile, StoredRows
from resources.lake.commits import (
    check_values,
    list_files,
    make_nullable,
    open_or_create,
    open_table,
)
from resources.lake.portions import PortionCommits
from resources.lake.refusals import explain_refusals

COMMIT_SECONDS: Final = 60.0
LISTED_COMMITS: Final = 100


@dataclass(frozen=True)
class AppendedTable:
    """The rows of a table with one value of its partition column.

    Attributes:
        commit_seconds: age at which a worker completes a file, and interval in which complete files are committed.
    """

    spark: SparkSession
    folder: str
    schema: StructType
    column: str
    value: str
    commit_seconds: float = field(default=COMMIT_SECONDS, kw_only=True)

    def read(self) -> StoredRows:
        """Finds the rows; none if nothing was appended yet."""
        delta = open_table(self.folder)
        files = list_files(delta, self.column, [self.value]) if delta else ()
        return StoredRows(self.spark, self.folder, self.schema, files)

    def append(self, rows: LazyRows) -> Appended:
        """Computes rows and adds them in portions; commits nothing if there are none.

        If the work fails, the rows of all complete files stay in the table.

        Raises:
            LakeError: if a row has another value, the table has another schema, or the file system takes no more files.
        """
        with explain_refusals(self.folder):
            return self._append(rows)

    def _append(self, rows: LazyRows) -> Appended:
        schema, run = make_nullable(rows.schema), uuid4().hex
        delta = open_or_create(self.folder, schema, self.column)
        with PortionCommits(delta, self.folder, self.column, self.value, run, self.commit_seconds) as portions:
            files = rows.write_to(self.folder, schema, self.column, run, self.commit_seconds)
        cpu_seconds: Counter[str] = Counter()
        for file in files:
            cpu_seconds.update(file.cpu_seconds or {})
        check_values(self.folder.rpartition("/")[2], files, [self.value])
        portions.commit([file for file in files if file.path not in portions.committed], cpu_seconds)
        stored = tuple(StoredFile(file.path, None, file.rows) for file in files)
        return Appended(stored, sum(file.rows for file in files), portions.seconds, cpu_seconds)

    def list_appended(self) -> list[Appended]:
        """Lists the appends among the last `LISTED_COMMITS` commits, newest first, without their files."""
        delta = open_table(self.folder)
        history = delta.history(LISTED_COMMITS) if delta else []
        commits = [commit for commit in history if commit.get(self.column) == self.value and "row_count" in commit]
        return [_parse_commit(commit) for commit in commits]


def _parse_commit(commit: Mapping[str, str]) -> Appended:
    cpu_seconds = json.loads(commit.get("cpu_seconds", "{}"))
    return Appended((), int(commit["row_count"]), float(commit["seconds"]), cpu_seconds)
