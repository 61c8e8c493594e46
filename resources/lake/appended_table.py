"""Appended tables: tables of the lake that only grow, partitioned by one column, such as the feature cache.

Any number of runs may append at once and all rows are kept, so readers must tolerate duplicates.
"""

import json
import time
from collections import defaultdict
from dataclasses import dataclass

from pyspark.sql import Row, SparkSession
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
    """The rows of one partition value.

    Attributes:
        spark: session that reads the rows.
        folder: folder or URI of the table.
        schema: schema of the rows.
        column: partition column of the table.
        value: value of the column in these rows.
    """

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
        paths, row_count = frozenset(file.path for file in files), sum(file.rows for file in files)
        appended = Appended(paths, row_count, time.monotonic() - started, _add_seconds(files))
        if files:
            append_rows(self.folder, files, {self.column: self.value}, appended)
        return appended

    def list_appended(self) -> list[Appended]:
        """Past appends, the newest first, without their files, as far back as the log goes (30 days)."""
        delta = open_table(self.folder)
        history = delta.history() if delta else []
        return [
            Appended(
                frozenset(),
                int(commit["row_count"]),
                float(commit["seconds"]),
                json.loads(commit.get("cpu_seconds", "{}")),
            )
            for commit in history
            if commit.get(self.column) == self.value
        ]


def _add_seconds(files: list[Row]) -> dict[str, float]:
    """The CPU-seconds of all tasks, by stage."""
    seconds: dict[str, float] = defaultdict(float)
    for file in files:
        for stage, spent in (file.cpu_seconds or {}).items():
            seconds[stage] += spent
    return dict(seconds)
