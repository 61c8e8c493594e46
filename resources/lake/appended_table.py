"""Appended tables: tables of the lake that only grow, partitioned by one column, such as the feature cache.

Any number of runs may append at once, so readers must tolerate duplicates.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.rows import Appended, LazyRows
from pipeline.storage.stored_rows import StoredRows
from resources.lake.commits import (
    append_rows,
    check_files,
    check_values,
    list_files,
    make_nullable,
    open_or_create,
    open_table,
)


@dataclass(frozen=True)
class AppendedTable:
    """The rows of a table with one value of its partition column."""

    spark: SparkSession
    folder: str
    schema: StructType
    column: str
    value: str

    def read(self) -> StoredRows:
        """Finds the rows; none if nothing was appended yet."""
        delta = open_table(self.folder)
        files = list_files(delta, self.column, [self.value]) if delta else ()
        return StoredRows(self.spark, self.folder, self.schema, files)

    def append(self, rows: LazyRows) -> Appended:
        """Computes rows and adds them in one commit; commits nothing if there are none.

        Raises:
            LakeError: if a row has another value, or the table has another schema.
        """
        started = time.monotonic()
        schema = make_nullable(rows.schema)
        delta = open_or_create(self.folder, schema, self.column)
        files = rows.write_to(self.folder, schema, self.column)
        check_values(self.folder.rpartition("/")[2], files, [self.value])
        check_files(self.folder, files, delta)
        cpu_seconds: Counter[str] = Counter()
        for file in files:
            cpu_seconds.update(file.cpu_seconds or {})
        paths, row_count = frozenset(file.path for file in files), sum(file.rows for file in files)
        appended = Appended(paths, row_count, time.monotonic() - started, cpu_seconds)
        if files:
            append_rows(self.folder, files, {self.column: self.value}, appended)
        return appended

    def list_appended(self) -> list[Appended]:
        """Lists past appends, newest first, without their files, as far back as the log goes (30 days)."""
        delta = open_table(self.folder)
        commits = [commit for commit in delta.history() if commit.get(self.column) == self.value] if delta else []
        return [_parse_commit(commit) for commit in commits]


def _parse_commit(commit: Mapping[str, str]) -> Appended:
    cpu_seconds = json.loads(commit.get("cpu_seconds", "{}"))
    return Appended(frozenset(), int(commit["row_count"]), float(commit["seconds"]), cpu_seconds)
