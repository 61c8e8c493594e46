"""Commits: files that executors wrote become rows of a Delta table in one transaction of the driver.

delta-rs checks neither schemas nor files, and lets two concurrent first writers of a day both win; the guards are here.
"""

import json
import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import Row
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import is_uri, storage_options
from pipeline.storage.rows import Appended
from pipeline.storage.stored_rows import StoredFile
from resources.lake.columns import find_added, types_of, without_dropped

WHOLE_TABLE: Final = "table"
MAX_COMMITS: Final = 100

Result = TypeVar("Result")


class LakeError(RuntimeError):
    """A table that cannot be read or written; the text names the table, the day and the remedy."""


def open_table(folder: str) -> DeltaTable | None:
    """Opens a table; None if there is none."""
    options = storage_options(folder)
    return DeltaTable(folder, storage_options=options) if DeltaTable.is_deltatable(folder, options) else None


def open_written(folder: str) -> DeltaTable:
    """Opens a table.

    Raises:
        LakeError: if there is none.
    """
    delta = open_table(folder)
    if delta is None:
        lake, _, table = folder.rpartition("/")
        raise LakeError(f"there is no table {table} in {lake} (DAYLIGHT_LAKE): materialize {table} first")
    return delta


def open_or_create(folder: str, schema: StructType, column: str | None) -> DeltaTable:
    """Opens a table, or creates it, partitioned by the column.

    Adds the columns that a table of an earlier version lacks. Columns that this version dropped stay until the rows of
    the table are replaced.

    Raises:
        LakeError: if the columns of the table differ from the schema.
    """
    wanted = Schema.from_json(schema.json())
    delta = open_table(folder)
    if delta is None:
        return create_table(folder, wanted, column)
    table = _name_of(folder)
    added = find_added(table, delta.schema(), wanted)
    kept = types_of(without_dropped(table, delta.schema()))
    if kept | {field.name: str(field.type) for field in added} != types_of(wanted):
        raise LakeError(
            f"{folder} has the columns {types_of(delta.schema())}, not {types_of(wanted)}, the columns to be written"
        )
    if added:
        _add_columns(folder, table, wanted, added)
        delta.update_incremental()
    return delta


def create_table(folder: str, schema: Schema, column: str | None) -> DeltaTable:
    """Creates a table, partitioned by the column, or opens the one that another run created first."""
    options = storage_options(folder)
    if not is_uri(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)

    def create() -> DeltaTable:
        return DeltaTable.create(folder, schema, mode="ignore", partition_by=column, storage_options=options)

    return _retry(folder, "the schema", create)  # of two that create it at once, one fails in spite of `ignore`


def _add_columns(folder: str, table: str, wanted: Schema, added: list[Field]) -> None:
    def commit(delta: DeltaTable) -> None:
        if missing := find_added(table, delta.schema(), wanted):  # else another run added them first
            delta.alter.add_columns(missing)

    commit_with_retries(folder, ", ".join(field.name for field in added), commit)


def arrow_schema_of(delta: DeltaTable) -> pa.Schema:
    """The schema of a table as its files have it, without a Spark session."""
    return to_arrow_schema(StructType.fromJson(json.loads(delta.schema().to_json())))


def make_nullable(schema: StructType) -> StructType:
    """Makes all columns nullable: a column without nulls today may have some tomorrow."""
    not_null = r'"(nullable|containsNull|valueContainsNull)":false'
    return StructType.fromJson(json.loads(re.sub(not_null, r'"\1":true', schema.json())))


def _name_of(folder: str) -> str:
    return folder.rpartition("/")[2]


def version_of(delta: DeltaTable, key: str) -> int:
    """Number of writes of a day, or of `WHOLE_TABLE`, according to the log."""
    return delta.transaction_version(key) or 0


def check_values(table: str, files: list[Row], expected: Collection[str | None]) -> None:
    """Checks that all files contain rows of the expected partition values.

    Raises:
        LakeError: if a file contains rows of another value.
    """
    unexpected = {file.value for file in files} - set(expected)
    if unexpected:
        raise LakeError(f"{table}: rows of {sorted(map(str, unexpected))} in a run of {sorted(map(str, expected))}")


def check_files(folder: str, files: list[Row], delta: DeltaTable) -> None:
    """Checks that each file has the size that its task reported, and the columns of the table except dropped ones.

    Raises:
        LakeError: if a file does not.
    """
    expected = types_of(without_dropped(_name_of(folder), delta.schema()))
    columns = set(delta.metadata().partition_columns)
    filesystem, root = open_folder(folder)
    for file in files:
        path = f"{root}/{file.path}"
        size = filesystem.get_file_info(path).size
        if size != file.size:
            raise LakeError(f"{folder}/{file.path} has {size or 0} bytes, but its task wrote {file.size}")
        stored = types_of(Schema.from_arrow(pq.read_schema(path, filesystem=filesystem)))
        if stored.items() - expected.items() or (expected.keys() - stored.keys()) - columns:
            raise LakeError(f"{folder}/{file.path} has the columns {stored}, but the table has {expected}")


def is_purged(delta: DeltaTable, day: str) -> bool:
    """Whether the last write of a day purged its image bytes."""
    return 0 < version_of(delta, _purge_key(day)) == version_of(delta, day)


def _purge_key(day: str) -> str:
    return f"{day} emptied"  # stored in the logs of existing tables, so it never changes


def replace_rows(
    folder: str, files: list[Row], before: Mapping[str, int], is_purge: bool = False, keeps_rows: bool = False
) -> None:
    """Replaces the files of some days, or of a whole table, and retries while runs of other days commit.

    All days share one transaction: a run of thirty days is stored completely or not at all.

    Args:
        folder: folder of the table.
        files: written files, with the day of their rows as `value`; None in a table without days.
        before: versions when the run began, by day or `WHOLE_TABLE`, of everything that is replaced.
        is_purge: whether the image bytes of the days are purged.
        keeps_rows: whether the rows of the days stay, and the files are added.

    Raises:
        LakeError: if another run wrote one of the days in the meantime.
    """
    days = [] if WHOLE_TABLE in before else list(before)
    adds = add_actions(files, "day" if days else None)
    marks = [(mark, before[key] + 1) for key in before for mark in ([key, _purge_key(key)] if is_purge else [key])]

    def commit(delta: DeltaTable) -> None:
        changed = [key for key in before if version_of(delta, key) != before[key]]
        if changed:
            raise LakeError(
                f"another run wrote {', '.join(changed)} of {_name_of(folder)} meanwhile, and its rows are kept"
            )
        delta.create_write_transaction(
            adds,
            "append" if keeps_rows else "overwrite",
            without_dropped(_name_of(folder), delta.schema()),
            ["day"] if days else None,
            [("day", "in", days)] if days else None,
            commit_properties=CommitProperties(app_transactions=[Transaction(*mark) for mark in marks]),
        )

    commit_with_retries(folder, ", ".join(before), commit)


def append_rows(folder: str, files: list[Row], values: dict[str, str], appended: Appended) -> None:
    """Adds new files in one transaction and records their cost in the log."""
    (column,) = values
    adds = add_actions(files, column)
    metadata = values | {"row_count": str(appended.row_count), "seconds": str(appended.seconds)}
    metadata["cpu_seconds"] = json.dumps(dict(appended.cpu_seconds))

    def commit(delta: DeltaTable) -> None:
        properties = CommitProperties(custom_metadata=metadata)
        delta.create_write_transaction(adds, "append", delta.schema(), list(values), commit_properties=properties)

    commit_with_retries(folder, " ".join(values.values()), commit)


def add_actions(files: Sequence[Row], column: str | None, is_new: bool = True) -> list[AddAction | RemoveAction]:
    """Delta's actions that add files; `is_new` is false for files of rows that the table has already."""
    now = int(time.time() * 1000)
    actions: list[AddAction | RemoveAction] = []
    for file in files:
        values, statistics = {column: file.value} if column else {}, json.dumps({"numRecords": file.rows})
        actions.append(AddAction(file.path, file.size, values, now, is_new, statistics))
    return actions


def commit_with_retries(folder: str, key: str, commit: Callable[[DeltaTable], None]) -> None:
    """Commits to the latest version of the table; retries while other writers win."""
    _retry(folder, key, lambda: commit(DeltaTable(folder, storage_options=storage_options(folder))))


def _retry(folder: str, key: str, commit: Callable[[], Result]) -> Result:
    for attempt in range(MAX_COMMITS):
        try:
            return commit()
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 20)))  # noqa: S311 only spreads the writers in time
    raise LakeError(f"{key} of {_name_of(folder)} could not be committed in {MAX_COMMITS} attempts: too many writers")


def list_files(delta: DeltaTable, column: str, values: Sequence[str] | None) -> tuple[StoredFile, ...]:
    """Lists the files with one of these partition values, or all files for None, ordered by path."""
    actions, key = pa.table(delta.get_add_actions(flatten=True)), f"partition.{column}"
    if values is not None and key in actions.column_names:
        actions = actions.filter(pc.is_in(actions[key].cast(pa.string()), pa.array(values, pa.string())))
    days = actions[key].to_pylist() if column == "day" and key in actions.column_names else [None] * len(actions)
    columns = (actions["path"].to_pylist(), days, actions["num_records"].to_pylist())
    return tuple(StoredFile(*file) for file in sorted(zip(*columns, strict=True)))
