"""The lake: Delta tables whose files executors write and which the driver commits.

Tables of assets are replaced, a day at a time or whole; a cache is appended to. Files without a commit are invisible,
so that a run killed at any moment changes nothing. How they are committed is `commits.py`.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date

import dagster as dg
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs
from pydantic import Field
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.files import open_folder
from pipeline.storage.rows import LazyRows, rows_of
from pipeline.storage.stored_rows import StoredFile, StoredRows
from resources.lake.commits import (
    WHOLE_TABLE,
    Appended,
    LakeError,
    append_rows,
    check_files,
    check_values,
    is_emptied,
    open_or_create,
    open_table,
    replace_rows,
    version_of,
    without_promises,
)
from resources.lake.model_files import ModelFiles
from resources.lake.orphans import collect_drafts, collect_orphans
from resources.lake.purge import empty_day


class Lake(dg.ConfigurableResource):
    """The folder of all tables and models."""

    root: str = Field(description="Where tables and models live (DAYLIGHT_LAKE).")

    def folder(self, table: str) -> str:
        """Where a table lives: a folder or a URI."""
        return f"{self.root}/{table}"

    def write(self, table: str, rows: DataFrame | LazyRows, days: Sequence[str] | None) -> dict[str | None, int]:
        """Makes the rows and replaces exactly these days of a table, or the whole of one that has no days.

        Returns:
            The number of rows of each day, or of the whole table under None.

        Raises:
            LakeError: where another run wrote the same day meanwhile, or the table has another schema.
        """
        folder, column = self.folder(table), None if days is None else "day"
        schema = without_promises(rows.schema)
        delta = open_or_create(folder, schema, column)
        keys = [WHOLE_TABLE] if days is None else list(days)
        before = {key: version_of(delta, key) for key in keys}
        files = _as_rows(rows).write_to(folder, schema, column)
        check_values(table, files, days or (None,))
        check_files(folder, files, delta)
        replace_rows(folder, files, before)
        return {day: sum(file.rows for file in files if file.value == day) for day in days or (None,)}

    def read(self, spark: SparkSession, table: str, days: Sequence[str] | None) -> StoredRows:
        """Finds these days of a table, or the whole of one that has no days.

        Raises:
            LakeError: where the table or one of the days was never written; an empty day is not an error.
        """
        delta = self._open_written(table)
        missing = [key for key in days or [WHOLE_TABLE] if version_of(delta, key) == 0]
        if missing:
            raise LakeError(f"{table} has no {', '.join(missing)} in {self.root}: materialize {table} for it first")
        schema = StructType.fromJson(json.loads(delta.schema().to_json()))
        return StoredRows(spark, self.folder(table), schema, _list_files(delta, "day", days))

    def read_known(self, spark: SparkSession, table: str, schema: StructType, days: Sequence[str] | None) -> StoredRows:
        """Finds those of these days that were ever written, or all rows: none where there is no such table.

        For readers to whom a day that was never run is no error. Columns of the schema that the table lacks are null.
        """
        delta = self._open(table)
        return StoredRows(spark, self.folder(table), schema, _list_files(delta, "day", days) if delta else ())

    def find(self, spark: SparkSession, table: str) -> StoredRows | None:
        """Finds the rows of a table that has no days as they stand, or None where it was never written."""
        delta = self._open(table)
        return self.read(spark, table, None) if delta and version_of(delta, WHOLE_TABLE) else None

    def list_days(self, table: str) -> list[str]:
        """The days of which a table has rows, in order."""
        delta = self._open(table)
        files = _list_files(delta, "day", None) if delta else ()
        return sorted({str(file.day) for file in files})

    @property
    def models(self) -> ModelFiles:
        """The files of models, and small notes about them."""
        return ModelFiles(f"{self.root}/models")

    def write_form(self, day: str, text: str) -> str:
        """Puts the review form of a day in place, whole, and gives its path or URI."""
        return self._write_page("review_forms", f"{day}.csv", text)

    def write_report(self, day: str, page: str) -> str:
        """Puts the report of a day in place, whole, and gives its path or URI."""
        return self._write_page("reports", f"{day}.html", page)

    def list_written(self, table: str, days: Sequence[str]) -> list[str]:
        """Those of these days that were ever written, be it without rows."""
        delta = self._open(table)
        return [day for day in days if delta and version_of(delta, day)]

    def read_arrow(self, table: str, day: str, columns: Sequence[str]) -> pa.Table:
        """Reads small columns of a day into the driver, without Spark.

        Raises:
            LakeError: where there is no such table.
        """
        delta = self._open_written(table)
        return delta.to_pyarrow_table(columns=list(columns), filters=[("day", "=", date.fromisoformat(day))])

    def count_by_day(self, table: str, column: str, days: Sequence[str]) -> dict[tuple[str, str | None], int]:
        """Counts the rows of some days by day and value of a column; the driver holds a batch of it at a time."""
        delta = self._open_written(table)
        wanted = ds.field("day").isin([date.fromisoformat(day) for day in days])
        counts: Counter[tuple[str, str | None]] = Counter()
        for batch in delta.to_pyarrow_dataset().to_batches(columns=["day", column], filter=wanted):
            rows = pa.Table.from_batches([batch]).group_by(["day", column]).aggregate([([], "count_all")])
            for row in rows.to_pylist():
                counts[str(row["day"]), row[column]] += row["count_all"]
        return dict(counts)

    def collect_leftovers(self) -> dict[str, int]:
        """Removes what no table refers to any more, and drafts of models, `LEFTOVER_HOURS` after they were written.

        Returns:
            The number of files that were removed of every table, and of `models`.
        """
        filesystem, root = open_folder(self.root)
        found = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        names = sorted(info.base_name for info in found if info.type == fs.FileType.Directory)
        tables = {name: delta for name in names if (delta := self._open(name))}
        collected = {name: len(collect_orphans(delta)) for name, delta in tables.items()}
        return collected | {"models": collect_drafts(self.models.folder)}

    def empty_days(self, before: str) -> list[str]:
        """Lets go the bytes of the images of all days before this one, and gives those days.

        Pictures that a person reviewed keep theirs, since they are training pictures.

        Raises:
            LakeError: where a day is being written; the others before it are emptied.
        """
        delta = self._open("images")
        if delta is None:
            return []
        days = [day for day in self.list_days("images") if day < before and not is_emptied(delta, day)]
        reviews = self._open("reviews")
        ids = reviews.to_pyarrow_table(columns=["image_id"])["image_id"].to_pylist() if reviews else []
        for day in days:
            files = _list_files(delta, "day", [day])
            empty_day(self.folder("images"), delta, day, files, pa.array(ids, pa.string()))
        return days

    def list_emptied(self, days: Sequence[str]) -> list[str]:
        """Those of these days whose pictures have no bytes any more."""
        delta = self._open("images")
        return [day for day in days if delta and is_emptied(delta, day)]

    def append(self, table: str, rows: DataFrame | LazyRows, column: str, value: str) -> Appended:
        """Makes rows and adds them, which all have this value, to a table that is partitioned by the column.

        Any number of runs may append at once, and all their rows stand; what must not be there twice is for the reader
        to drop.

        Raises:
            LakeError: where a row has another value, or the table has another schema.
        """
        started = time.monotonic()
        folder = self.folder(table)
        schema = without_promises(rows.schema)
        delta = open_or_create(folder, schema, column)
        files = _as_rows(rows).write_to(folder, schema, column)
        check_values(table, files, [value])
        check_files(folder, files, delta)
        paths = frozenset(file.path for file in files)
        appended = Appended(paths, sum(file.rows for file in files), time.monotonic() - started, _add_seconds(files))
        if files:
            append_rows(folder, files, {column: value}, appended)
        return appended

    def read_appended(self, spark: SparkSession, table: str, schema: StructType, column: str, value: str) -> StoredRows:
        """Finds the rows of one value of the column that a table is partitioned by: none where nothing was appended."""
        delta = self._open(table)
        files = _list_files(delta, column, [value]) if delta else ()
        return StoredRows(spark, self.folder(table), schema, files)

    def list_appended(self, table: str, column: str, value: str) -> list[Appended]:
        """What was appended with this value, the newest first, as far back as the log goes (30 days)."""
        delta = self._open(table)
        history = delta.history() if delta else []
        return [
            Appended(
                frozenset(),
                int(commit["row_count"]),
                float(commit["seconds"]),
                json.loads(commit.get("cpu_seconds", "{}")),
            )
            for commit in history
            if commit.get(column) == value
        ]

    def _write_page(self, folder: str, name: str, text: str) -> str:
        pages = ModelFiles(f"{self.root}/{folder}")
        pages.write_note(pages.folder / name, text)
        return f"{pages.root}/{name}"

    def _open_written(self, table: str) -> DeltaTable:
        delta = self._open(table)
        if delta is None:
            raise LakeError(f"there is no table {table} in {self.root} (DAYLIGHT_LAKE): materialize {table} first")
        return delta

    def _open(self, table: str) -> DeltaTable | None:
        return open_table(self.folder(table))


def _as_rows(rows: DataFrame | LazyRows) -> LazyRows:
    return rows if isinstance(rows, LazyRows) else rows_of(rows)


def _add_seconds(files: list[Row]) -> dict[str, float]:
    """The CPU-seconds of all tasks, by stage."""
    seconds: dict[str, float] = defaultdict(float)
    for file in files:
        for stage, spent in (file.cpu_seconds or {}).items():
            seconds[stage] += spent
    return dict(seconds)


def _list_files(delta: DeltaTable, column: str, values: Sequence[str] | None) -> tuple[StoredFile, ...]:
    """The files of a table, or those with one of these values of the column, in the order of their names."""
    files = []
    for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        value = action.get(f"partition.{column}")
        if values is None or str(value) in values:
            files.append(StoredFile(action["path"], value if column == "day" else None, action["num_records"]))
    return tuple(sorted(files, key=lambda file: file.path))
