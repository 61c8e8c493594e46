"""The lake: the Delta tables of assets, replaced by day or as a whole. Tables that only grow are `appended_table.py`.

Files without a commit (`commits.py`) are invisible, so a run that is killed at any moment changes nothing.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Final

import dagster as dg
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs
from pydantic import Field
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.files import open_folder
from pipeline.storage.rows import LazyRows, SmallRows, rows_of
from pipeline.storage.stored_rows import StoredRows
from resources.lake.commits import (
    WHOLE_TABLE,
    LakeError,
    check_files,
    check_values,
    list_files,
    make_nullable,
    open_or_create,
    open_table,
    open_written,
    replace_rows,
    version_of,
)
from resources.lake.datasets import open_dataset
from resources.lake.model_files import ModelFiles
from resources.lake.refusals import explain_refusals
from resources.lake.upgrade import upgrade_lake
from resources.question import key_of
from resources.shares import folder_of

MODELS: Final = "models"


class Lake(dg.ConfigurableResource):
    """The folder of all tables, models and documents."""

    root: str = Field(description="Where tables and models live (DAYLIGHT_LAKE).")
    prefix: str = Field(default="", description="Question whose tables these are; empty: that of the deployment.")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Upgrades a lake of an earlier version before a run reads or writes it."""
        for table in () if self.prefix else upgrade_lake(self.root):
            dg.get_dagster_logger().info(f"upgraded {self.root}: created the table {table} from an earlier version's")

    def folder(self, table: str) -> str:
        """The folder or URI of a table; tables that all questions share lie beside those of the deployment."""
        return folder_of(table, self.root, self.prefix)

    def key(self, table: str) -> dg.AssetKey:
        """The key of the asset that writes a table."""
        return key_of(table, self.prefix)

    @property
    def home(self) -> str:
        """The folder or URI of the tables and documents of the question."""
        return f"{self.root}/{self.prefix}" if self.prefix else self.root

    def write(
        self, table: str, rows: DataFrame | LazyRows | SmallRows, days: Sequence[str] | None, is_added: bool = False
    ) -> dict[str | None, int]:
        """Computes the rows and replaces exactly these days of a table, or the whole of a table without days.

        With `is_added`, the rows of the days stay, and the new ones are added.

        Returns:
            The number of rows written by day, or of the whole table under None.

        Raises:
            LakeError: if another run wrote one of the days in the meantime, the table has another schema, or the file
                system takes no more files.
        """
        files = self._write(table, rows_of(rows) if isinstance(rows, DataFrame) else rows, days, is_added)
        return {day: sum(file.rows for file in files if file.value == day) for day in days or (None,)}

    def _write(self, table: str, rows: LazyRows | SmallRows, days: Sequence[str] | None, is_added: bool) -> list[Row]:
        folder, column, schema = self.folder(table), None if days is None else "day", make_nullable(rows.schema)
        with explain_refusals(folder):
            delta = open_or_create(folder, schema, column)
            before = {key: version_of(delta, key) for key in ([WHOLE_TABLE] if days is None else days)}
            files = rows.write_to(folder, schema, column)
            check_values(table, files, days or (None,))
            check_files(folder, files, delta)
            replace_rows(folder, files, before, keeps_rows=is_added)
        return files

    def read(self, spark: SparkSession, table: str, days: Sequence[str] | None) -> StoredRows:
        """Finds the rows of these days, or all rows of a table without days.

        Raises:
            LakeError: if the table or one of the days was never written; a day without rows is no error.
        """
        delta = open_written(self.folder(table))
        missing = [key for key in days or [WHOLE_TABLE] if version_of(delta, key) == 0]
        if missing:
            raise LakeError(f"{table} has no {', '.join(missing)} in {self.root}: materialize {table} for it first")
        schema = StructType.fromJson(json.loads(delta.schema().to_json()))
        return StoredRows(spark, self.folder(table), schema, list_files(delta, "day", days))

    def read_known(self, spark: SparkSession, table: str, schema: StructType, days: Sequence[str] | None) -> StoredRows:
        """Finds the rows of these days, or all rows; a day or a table that was never written has none.

        Columns of the schema that the table lacks are null.
        """
        delta = self._open(table)
        return StoredRows(spark, self.folder(table), schema, list_files(delta, "day", days) if delta else ())

    def find(self, spark: SparkSession, table: str) -> StoredRows | None:
        """Finds the rows of a table without days; None if it was never written."""
        delta = self._open(table)
        return self.read(spark, table, None) if delta and version_of(delta, WHOLE_TABLE) else None

    def list_tables(self) -> list[str]:
        """Names of all tables, in order, those of further questions after their prefix; none if there is no lake."""
        found = []
        for name in self._list_folders(""):
            if self._open(name):
                found.append(name)
            elif name != MODELS:
                below = [f"{name}/{each}" for each in self._list_folders(name)]
                found += [each for each in below if self._open(each)]
        return found

    def list_prefixes(self) -> list[str]:
        """Prefixes of the further questions that have tables, in order."""
        return sorted({name.partition("/")[0] for name in self.list_tables() if "/" in name})

    def _list_folders(self, folder: str) -> list[str]:
        filesystem, root = open_folder(f"{self.root}/{folder}".rstrip("/"))
        found = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def list_days(self, table: str) -> list[str]:
        """Days with rows in a table, in order."""
        delta = self._open(table)
        files = list_files(delta, "day", None) if delta else ()
        return sorted({str(file.day) for file in files})

    @property
    def models(self) -> ModelFiles:
        """The files of the classifiers of the question, and their metadata."""
        return ModelFiles("/".join(filter(None, (self.root, MODELS, self.prefix))))

    @property
    def shared_models(self) -> ModelFiles:
        """The files of the backbones, and of what all questions share."""
        return ModelFiles(f"{self.root}/{MODELS}")

    def write_form(self, day: str, text: str) -> str:
        """Replaces the review form of a day atomically and returns its path or URI."""
        return self._write_document("review_forms", f"{day}.csv", text)

    def write_report(self, day: str, page: str) -> str:
        """Replaces the report of a day atomically and returns its path or URI."""
        return self._write_document("reports", f"{day}.html", page)

    def count_versions(self, table: str) -> int:
        """Number of the newest version of a table, which every change raises; -1 if there is no table."""
        delta = self._open(table)
        return -1 if delta is None else delta.version()

    def write_overview(self, day: str, page: str) -> str:
        """Replaces the page of a day about all classifiers atomically and returns its path or URI."""
        return self._write_document("overviews", f"{day}.html", page)

    def list_written(self, table: str, days: Sequence[str]) -> list[str]:
        """The subset of these days that was written, with or without rows."""
        delta = self._open(table)
        return [day for day in days if delta and version_of(delta, day)]

    def read_arrow(self, table: str, day: str | None, columns: Sequence[str]) -> pa.Table:
        """Reads small columns of a day, or of a table without days, on the driver, without Spark.

        Raises:
            LakeError: if there is no such table.
        """
        delta = open_written(self.folder(table))
        keep = ds.field("day") == date.fromisoformat(day) if day else None
        return open_dataset(delta, self.folder(table)).to_table(columns=list(columns), filter=keep)

    def count_by_day(self, table: str, column: str, days: Sequence[str]) -> dict[tuple[str, str | None], int]:
        """Counts rows by day and value of a column; the driver holds one batch of rows at a time.

        Arrow counts 30 days in a fifth of the time that a query of `pipeline/reports/queries.py` takes.
        """
        delta = open_written(self.folder(table))
        wanted = ds.field("day").isin([date.fromisoformat(day) for day in days])
        counts: Counter[tuple[str, str | None]] = Counter()
        for batch in open_dataset(delta, self.folder(table)).to_batches(columns=["day", column], filter=wanted):
            rows = pa.Table.from_batches([batch]).group_by(["day", column]).aggregate([([], "count_all")])
            for row in rows.to_pylist():
                counts[str(row["day"]), row[column]] += row["count_all"]
        return dict(counts)

    def _write_document(self, folder: str, name: str, text: str) -> str:
        files = ModelFiles(f"{self.home}/{folder}")
        with explain_refusals(files.root):
            files.write_note(files.folder / name, text)
        return f"{files.root}/{name}"

    def _open(self, table: str) -> DeltaTable | None:
        return open_table(self.folder(table))
