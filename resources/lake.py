"""The lake: Delta tables whose files executors write and which the driver commits, a day at a time and whole.

Files without a commit are invisible, so that a run killed at any moment changes nothing. A `txn` action per day keeps
two runs of one day from both winning; delta-rs checks neither schema nor files, so that is done here.
"""

import json
import random
import re
import time
from collections.abc import Sequence
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
from pyspark.sql.types import StructType

from pipeline.parquet import write_files

WHOLE_TABLE: Final = "table"
MAX_COMMITS: Final = 100


class LakeError(RuntimeError):
    """A table that cannot be read or written; the text names the table, the day and the cure."""


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
        folder = self.folder(table)
        schema = _without_promises(frame.schema)
        delta = _open_or_create(folder, schema, partitioned=days is not None)
        keys = [WHOLE_TABLE] if days is None else list(days)
        before = {key: _version_of(delta, key) for key in keys}
        files = write_files(frame, schema, str(folder), partitioned=days is not None)
        strangers = {file.day for file in files} - set(days or (None,))
        if strangers:
            raise LakeError(f"{table}: rows of {sorted(map(str, strangers))} in a run of {keys}")
        _check_files(folder, files, delta)
        for key in keys:
            _commit(folder, key, [file for file in files if file.day in (key, None)], before[key])
        return {day: sum(file.rows for file in files if file.day == day) for day in days or (None,)}

    def read(self, spark: SparkSession, table: str, days: Sequence[str] | None) -> DataFrame:
        """Reads these days of a table, or the whole of one that has no days.

        Raises:
            LakeError: where the table or one of the days was never written; an empty day is not an error.
        """
        folder = self.folder(table)
        if not DeltaTable.is_deltatable(str(folder)):
            raise LakeError(f"there is no table {table} in {self.root} (DAYLIGHT_LAKE): materialize {table} first")
        delta = DeltaTable(folder)
        missing = [key for key in days or [WHOLE_TABLE] if _version_of(delta, key) == 0]
        if missing:
            raise LakeError(f"{table} has no {', '.join(missing)} in {self.root}: materialize {table} for it first")
        schema = StructType.fromJson(json.loads(delta.schema().to_json()))
        wanted = None if days is None else [("day", "in", list(days))]
        files = [_spark_path(uri) for uri in delta.file_uris(file_pruning_predicate=wanted)]
        if not files:
            return spark.createDataFrame([], schema)
        stored = spark.read.schema(schema).option("basePath", str(folder)).parquet(*files)
        return stored.to(schema)  # Spark puts the day last, and leaves out the comments


def _spark_path(uri: str) -> str:
    """A file as Spark names it: delta-rs writes a space as `%20`, and Spark takes brackets for a pattern."""
    return re.sub(r"([][{}*?])", r"\\\1", unquote(uri))


def _open_or_create(folder: Path, schema: StructType, partitioned: bool) -> DeltaTable:
    wanted = Schema.from_json(schema.json())
    if not DeltaTable.is_deltatable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(folder, wanted, mode="ignore", partition_by=["day"] if partitioned else None)
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


def _check_files(folder: Path, files: list[Row], delta: DeltaTable) -> None:
    expected = _types(delta.schema())
    for file in files:
        path = folder / file.path
        if path.stat().st_size != file.size:
            raise LakeError(f"{path} has {path.stat().st_size} bytes, and its task wrote {file.size}")
        stored = _types(Schema.from_arrow(pq.read_schema(path)))
        if stored.items() - expected.items() or (expected.keys() - stored.keys()) - {"day"}:
            raise LakeError(f"{path} has the columns {stored}, and the table has {expected}")


def _commit(folder: Path, key: str, files: list[Row], before: int) -> None:
    """Puts new files in the place of a day's old ones, in one transaction; others' days are waited for."""
    values = {} if key == WHOLE_TABLE else {"day": key}
    now = int(time.time() * 1000)
    adds: list[AddAction | RemoveAction] = [
        AddAction(f.path, f.size, values, now, True, json.dumps({"numRecords": f.rows})) for f in files
    ]
    for attempt in range(MAX_COMMITS):
        delta = DeltaTable(folder)
        if _version_of(delta, key) != before:
            raise LakeError(f"another run wrote {key} of {folder.name} meanwhile, and its rows stand")
        try:
            delta.create_write_transaction(
                adds,
                "overwrite",
                delta.schema(),
                list(values) or None,
                [("day", "=", key)] if values else None,
                commit_properties=CommitProperties(app_transactions=[Transaction(key, before + 1)]),
            )
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 20)))  # noqa: S311 only spreads the writers
        else:
            return
    raise LakeError(f"{key} of {folder.name} could not be committed in {MAX_COMMITS} attempts: too many writers")
