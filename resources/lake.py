"""The lake: Delta tables whose files executors write and which the driver commits.

Tables of assets are replaced, a day at a time or whole; a cache is appended to. Files without a commit are invisible,
so that a run killed at any moment changes nothing. How they are committed is `commits.py`.
"""

import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import dagster as dg
from deltalake import DeltaTable
from pydantic import Field
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.rows import Rows, rows_of
from pipeline.schema import select_columns
from resources.commits import (
    WHOLE_TABLE,
    Appended,
    LakeError,
    append_rows,
    check_files,
    check_values,
    open_or_create,
    replace_rows,
    version_of,
    without_promises,
)


class Lake(dg.ConfigurableResource):
    """The folder of all tables and models."""

    root: str = Field(description="Where tables and models live (DAYLIGHT_LAKE).")

    def folder(self, table: str) -> Path:
        """Where a table lives."""
        return Path(self.root) / table

    @property
    def models(self) -> Path:
        """Where models live."""
        return Path(self.root) / "models"

    def write_note(self, file: Path, text: str) -> None:
        """Puts a small file in place, whole: whoever reads it finds the old one or the new one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{uuid4().hex}")
        draft.write_text(text)
        os.replace(draft, file)

    def write(self, table: str, rows: DataFrame | Rows, days: Sequence[str] | None) -> dict[str | None, int]:
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
        files = _as_rows(rows).write_to(str(folder), schema, column)
        check_values(table, files, days or (None,))
        check_files(folder, files, delta)
        for key in keys:
            replace_rows(folder, key, [file for file in files if file.value in (key, None)], before[key])
        return {day: sum(file.rows for file in files if file.value == day) for day in days or (None,)}

    def read(self, spark: SparkSession, table: str, days: Sequence[str] | None) -> DataFrame:
        """Reads these days of a table, or the whole of one that has no days.

        Raises:
            LakeError: where the table or one of the days was never written; an empty day is not an error.
        """
        folder, delta = self.folder(table), self._open(table)
        if delta is None:
            raise LakeError(f"there is no table {table} in {self.root} (DAYLIGHT_LAKE): materialize {table} first")
        missing = [key for key in days or [WHOLE_TABLE] if version_of(delta, key) == 0]
        if missing:
            raise LakeError(f"{table} has no {', '.join(missing)} in {self.root}: materialize {table} for it first")
        schema = StructType.fromJson(json.loads(delta.schema().to_json()))
        wanted = None if days is None else [("day", "in", list(days))]
        return _read(spark, folder, schema, delta.file_uris(file_pruning_predicate=wanted))

    def append(self, table: str, rows: DataFrame | Rows, column: str, value: str) -> Appended:
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
        files = _as_rows(rows).write_to(str(folder), schema, column)
        check_values(table, files, [value])
        check_files(folder, files, delta)
        names = frozenset(Path(file.path).name for file in files)
        appended = Appended(names, sum(file.rows for file in files), time.monotonic() - started, _add_seconds(files))
        if files:
            append_rows(folder, files, {column: value}, appended)
        return appended

    def read_appended(
        self,
        spark: SparkSession,
        table: str,
        schema: StructType,
        column: str,
        value: str,
        names: Collection[str] | None = None,
    ) -> DataFrame:
        """Reads the rows of one value of the column that a table is partitioned by, or of some of their files only.

        Returns:
            The columns of the schema and `file`, the name of the row's file; no rows where nothing was ever appended.
        """
        delta = self._open(table)
        uris = delta.file_uris(file_pruning_predicate=[(column, "=", value)]) if delta else []
        chosen = [uri for uri in uris if names is None or Path(uri).name in names]
        rows = _read(spark, self.folder(table), schema, chosen)
        return rows.select("*", F.col("_metadata.file_name").alias("file") if chosen else F.lit("").alias("file"))

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

    def _open(self, table: str) -> DeltaTable | None:
        folder = self.folder(table)
        return DeltaTable(folder) if DeltaTable.is_deltatable(str(folder)) else None


def _as_rows(rows: DataFrame | Rows) -> Rows:
    return rows if isinstance(rows, Rows) else rows_of(rows)


def _add_seconds(files: list[Row]) -> dict[str, float]:
    """The CPU-seconds of all tasks, by stage."""
    seconds: dict[str, float] = defaultdict(float)
    for file in files:
        for stage, spent in (file.cpu_seconds or {}).items():
            seconds[stage] += spent
    return dict(seconds)


def _read(spark: SparkSession, folder: Path, schema: StructType, uris: Sequence[str]) -> DataFrame:
    if not uris:
        return spark.createDataFrame([], schema)
    stored = spark.read.schema(schema).option("basePath", str(folder)).parquet(*map(_spark_path, uris))
    return select_columns(stored, schema)  # Spark puts the column of the partitions last, and leaves out the comments


def _spark_path(uri: str) -> str:
    """A file as Spark names it: delta-rs writes a space as `%20`, and Spark takes brackets for a pattern."""
    return re.sub(r"([][{}*?])", r"\\\1", unquote(uri))
