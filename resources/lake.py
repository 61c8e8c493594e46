"""The lake: Delta tables whose files executors write and which the driver commits.

Tables of assets are replaced, a day at a time or whole; a cache is appended to. Files without a commit are invisible,
so that a run killed at any moment changes nothing. A `txn` action per day keeps two runs of one day from both winning;
delta-rs checks neither schema nor files, so that is done here.
"""

import json
import random
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import dagster as dg
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pydantic import Field
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.parquet import write_files

WHOLE_TABLE: Final = "table"
MAX_COMMITS: Final = 100


class LakeError(RuntimeError):
    """A table that cannot be read or written; the text names the table, the day and the cure."""


@dataclass(frozen=True)
class Appended:
    """What one run added to a table.

    Attributes:
        files: their names; none is ever used twice.
        row_count: in all of them.
        seconds: that making and writing the rows took, by the clock.
    """

    files: frozenset[str]
    row_count: int
    seconds: float


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

    def write(self, table: str, frame: DataFrame, days: Sequence[str] | None) -> dict[str | None, int]:
        """Runs the frame and replaces exactly these days of a table, or the whole of one that has no days.

        Returns:
            The number of rows of each day, or of the whole table under None.

        Raises:
            LakeError: where another run wrote the same day meanwhile, or the table has another schema.
        """
        folder, column = self.folder(table), None if days is None else "day"
        schema = _without_promises(frame.schema)
        delta = _open_or_create(folder, schema, column)
        keys = [WHOLE_TABLE] if days is None else list(days)
        before = {key: _version_of(delta, key) for key in keys}
        files = write_files(frame, schema, str(folder), column)
        _check_values(table, files, days or (None,))
        _check_files(folder, files, delta)
        for key in keys:
            _commit(folder, key, [file for file in files if file.value in (key, None)], before[key])
        return {day: sum(file.rows for file in files if file.value == day) for day in days or (None,)}

    def read(self, spark: SparkSession, table: str, days: Sequence[str] | None) -> DataFrame:
        """Reads these days of a table, or the whole of one that has no days.

        Raises:
            LakeError: where the table or one of the days was never written; an empty day is not an error.
        """
        folder, delta = self.folder(table), self._open(table)
        if delta is None:
            raise LakeError(f"there is no table {table} in {self.root} (DAYLIGHT_LAKE): materialize {table} first")
        missing = [key for key in days or [WHOLE_TABLE] if _version_of(delta, key) == 0]
        if missing:
            raise LakeError(f"{table} has no {', '.join(missing)} in {self.root}: materialize {table} for it first")
        schema = StructType.fromJson(json.loads(delta.schema().to_json()))
        wanted = None if days is None else [("day", "in", list(days))]
        return _read(spark, folder, schema, delta.file_uris(file_pruning_predicate=wanted))

    def append(self, table: str, frame: DataFrame, column: str, value: str) -> Appended:
        """Runs the frame and adds its rows, which all have this value, to a table that is partitioned by the column.

        Any number of runs may append at once, and all their rows stand; what must not be there twice is for the reader
        to drop.

        Raises:
            LakeError: where a row has another value, or the table has another schema.
        """
        started = time.monotonic()
        folder = self.folder(table)
        schema = _without_promises(frame.schema)
        delta = _open_or_create(folder, schema, column)
        files = write_files(frame, schema, str(folder), column)
        _check_values(table, files, [value])
        _check_files(folder, files, delta)
        names = frozenset(Path(file.path).name for file in files)
        appended = Appended(names, sum(file.rows for file in files), time.monotonic() - started)
        if files:
            _commit_appended(folder, files, {column: value}, appended)
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
            Appended(frozenset(), int(commit["row_count"]), float(commit["seconds"]))
            for commit in history
            if commit.get(column) == value
        ]

    def _open(self, table: str) -> DeltaTable | None:
        folder = self.folder(table)
        return DeltaTable(folder) if DeltaTable.is_deltatable(str(folder)) else None


def _read(spark: SparkSession, folder: Path, schema: StructType, uris: Sequence[str]) -> DataFrame:
    if not uris:
        return spark.createDataFrame([], schema)
    stored = spark.read.schema(schema).option("basePath", str(folder)).parquet(*map(_spark_path, uris))
    # Spark puts the column of the partitions last and leaves out the comments; `to` would copy arrays by element
    return stored.select(*(F.col(field.name).alias(field.name, metadata=field.metadata) for field in schema))


def _spark_path(uri: str) -> str:
    """A file as Spark names it: delta-rs writes a space as `%20`, and Spark takes brackets for a pattern."""
    return re.sub(r"([][{}*?])", r"\\\1", unquote(uri))


def _open_or_create(folder: Path, schema: StructType, column: str | None) -> DeltaTable:
    wanted = Schema.from_json(schema.json())
    if not DeltaTable.is_deltatable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(folder, wanted, mode="ignore", partition_by=column)
    delta = DeltaTable(folder)
    if _types(delta.schema()) != _types(wanted):
        raise LakeError(f"{folder} has the columns {_types(delta.schema())}, and {_types(wanted)} were to be written")
    return delta


def _without_promises(schema: StructType) -> StructType:
    """The same columns, all nullable: what Spark infers of one frame is no promise about the next."""
    promises = r'"(nullable|containsNull|valueContainsNull)":false'
    return StructType.fromJson(json.loads(re.sub(promises, r'"\1":true', schema.json())))


def _types(schema: Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema.fields}


def _version_of(delta: DeltaTable, key: str) -> int:
    """How often a day was written, from the log: 0 where it never was."""
    return delta.transaction_version(key) or 0


def _check_values(table: str, files: list[Row], expected: Collection[str | None]) -> None:
    strangers = {file.value for file in files} - set(expected)
    if strangers:
        raise LakeError(f"{table}: rows of {sorted(map(str, strangers))} in a run of {sorted(map(str, expected))}")


def _check_files(folder: Path, files: list[Row], delta: DeltaTable) -> None:
    expected, columns = _types(delta.schema()), set(delta.metadata().partition_columns)
    for file in files:
        path = folder / file.path
        if path.stat().st_size != file.size:
            raise LakeError(f"{path} has {path.stat().st_size} bytes, and its task wrote {file.size}")
        stored = _types(Schema.from_arrow(pq.read_schema(path)))
        if stored.items() - expected.items() or (expected.keys() - stored.keys()) - columns:
            raise LakeError(f"{path} has the columns {stored}, and the table has {expected}")


def _commit(folder: Path, key: str, files: list[Row], before: int) -> None:
    """Puts new files in the place of a day's old ones, in one transaction; others' days are waited for."""
    values = {} if key == WHOLE_TABLE else {"day": key}
    adds = _add_actions(files, values)

    def commit(delta: DeltaTable) -> None:
        if _version_of(delta, key) != before:
            raise LakeError(f"another run wrote {key} of {folder.name} meanwhile, and its rows stand")
        delta.create_write_transaction(
            adds,
            "overwrite",
            delta.schema(),
            list(values) or None,
            [("day", "=", key)] if values else None,
            commit_properties=CommitProperties(app_transactions=[Transaction(key, before + 1)]),
        )

    _retry(folder, key, commit)


def _commit_appended(folder: Path, files: list[Row], values: dict[str, str], appended: Appended) -> None:
    """Adds new files in one transaction, and leaves in the log what they cost."""
    adds = _add_actions(files, values)
    told = values | {"row_count": str(appended.row_count), "seconds": str(appended.seconds)}

    def commit(delta: DeltaTable) -> None:
        delta.create_write_transaction(
            adds, "append", delta.schema(), list(values), commit_properties=CommitProperties(custom_metadata=told)
        )

    _retry(folder, " ".join(values.values()), commit)


def _add_actions(files: list[Row], values: dict[str, str]) -> list[AddAction | RemoveAction]:
    now = int(time.time() * 1000)
    return [AddAction(f.path, f.size, values, now, True, json.dumps({"numRecords": f.rows})) for f in files]


def _retry(folder: Path, key: str, commit: Callable[[DeltaTable], None]) -> None:
    """Commits to the table as it is now, again and again while others are quicker."""
    for attempt in range(MAX_COMMITS):
        try:
            commit(DeltaTable(folder))
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 20)))  # noqa: S311 only spreads the writers
        else:
            return
    raise LakeError(f"{key} of {folder.name} could not be committed in {MAX_COMMITS} attempts: too many writers")
