"""Commits: how files that executors wrote become rows of a Delta table, in one transaction of the driver's.

delta-rs checks neither schemas nor files, and lets two first writers of a day both win: what guards against it is here.
Which rows are written and read is `lake.py`.
"""

import json
import random
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import Row
from pyspark.sql.types import StructType

from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import is_uri, storage_options

WHOLE_TABLE: Final = "table"
MAX_COMMITS: Final = 100

ADDED_COLUMNS: Final[Mapping[str, Collection[str]]] = {
    "training_images": ("split_said", "group", "origin"),
    "training_features": ("group", "split_alone"),
    "review_queue": ("similarity", "audit_weight", "classifier"),
}
"""Columns that tables of a former version lack, and get when they are next written; null in the rows that are there."""


class LakeError(RuntimeError):
    """A table that cannot be read or written; the text names the table, the day and the cure."""


@dataclass(frozen=True)
class Appended:
    """What one run added to a table.

    Attributes:
        files: their paths below the folder; none is ever used twice.
        row_count: in all of them.
        seconds: that making and writing the rows took, by the clock.
        cpu_seconds: of all workers, by stage.
    """

    files: frozenset[str]
    row_count: int
    seconds: float
    cpu_seconds: Mapping[str, float]


def open_table(folder: str) -> DeltaTable | None:
    """Opens a table, or gives None where there is none."""
    options = storage_options(folder)
    return DeltaTable(folder, storage_options=options) if DeltaTable.is_deltatable(folder, options) else None


def open_or_create(folder: str, schema: StructType, column: str | None) -> DeltaTable:
    """Opens a table, and makes it where there is none, partitioned by the column.

    One of a former version gets the columns that it lacks.

    Raises:
        LakeError: where it has other columns than the schema.
    """
    wanted = Schema.from_json(schema.json())
    delta = open_table(folder)
    if delta is None:
        if not is_uri(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        options = storage_options(folder)
        return DeltaTable.create(folder, wanted, mode="ignore", partition_by=column, storage_options=options)
    added = _find_added(_name_of(folder), delta.schema(), wanted)
    if _types(delta.schema()) | {field.name: str(field.type) for field in added} != _types(wanted):
        raise LakeError(f"{folder} has the columns {_types(delta.schema())}, and {_types(wanted)} were to be written")
    if added:
        try:
            delta.alter.add_columns(added)
        except CommitFailedError:
            return open_or_create(folder, schema, column)  # another run was quicker
    return delta


def without_promises(schema: StructType) -> StructType:
    """The same columns, all nullable: what Spark infers of one frame is no promise about the next."""
    promises = r'"(nullable|containsNull|valueContainsNull)":false'
    return StructType.fromJson(json.loads(re.sub(promises, r'"\1":true', schema.json())))


def _name_of(folder: str) -> str:
    return folder.rpartition("/")[2]


def _find_added(table: str, schema: Schema, wanted: Schema) -> list[Field]:
    """The columns that a later version added to this table, which does not have them yet."""
    present = _types(schema)
    added = ADDED_COLUMNS.get(table, ())
    return [field for field in wanted.fields if field.name in added and field.name not in present]


def _types(schema: Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema.fields}


def version_of(delta: DeltaTable, key: str) -> int:
    """How often a day was written, from the log: 0 where it never was."""
    return delta.transaction_version(key) or 0


def check_values(table: str, files: list[Row], expected: Collection[str | None]) -> None:
    """Checks that all files hold rows of the values that the run is of.

    Raises:
        LakeError: where one holds others.
    """
    strangers = {file.value for file in files} - set(expected)
    if strangers:
        raise LakeError(f"{table}: rows of {sorted(map(str, strangers))} in a run of {sorted(map(str, expected))}")


def check_files(folder: str, files: list[Row], delta: DeltaTable) -> None:
    """Checks that files have the size that their tasks wrote, and the columns of the table.

    Raises:
        LakeError: where one has not.
    """
    expected, columns = _types(delta.schema()), set(delta.metadata().partition_columns)
    filesystem, root = open_folder(folder)
    for file in files:
        path = f"{root}/{file.path}"
        size = filesystem.get_file_info(path).size
        if size != file.size:
            raise LakeError(f"{folder}/{file.path} has {size or 0} bytes, and its task wrote {file.size}")
        stored = _types(Schema.from_arrow(pq.read_schema(path, filesystem=filesystem)))
        if stored.items() - expected.items() or (expected.keys() - stored.keys()) - columns:
            raise LakeError(f"{folder}/{file.path} has the columns {stored}, and the table has {expected}")


def is_emptied(delta: DeltaTable, day: str) -> bool:
    """Whether a day was last written to let its bytes go."""
    return 0 < version_of(delta, _mark_of(day)) == version_of(delta, day)


def _mark_of(day: str) -> str:
    return f"{day} emptied"


def replace_rows(folder: str, files: list[Row], before: Mapping[str, int], is_emptied: bool = False) -> None:
    """Puts new files in the place of the old ones of some days, or of a whole table; others' days are waited for.

    All days in one transaction: a run of thirty stands as a whole or not at all, and readers wait for one.

    Args:
        folder: of the table.
        files: with the day of their rows as `value`; None in a table without days.
        before: the version of every day that is replaced, or of `WHOLE_TABLE`, when the run began.
        is_emptied: whether the days let their bytes go.

    Raises:
        LakeError: where another run wrote one of the days meanwhile.
    """
    days = [] if WHOLE_TABLE in before else list(before)
    adds = _add_actions(files, "day" if days else None)
    marks = [(mark, before[key] + 1) for key in before for mark in ([key, _mark_of(key)] if is_emptied else [key])]

    def commit(delta: DeltaTable) -> None:
        changed = [key for key in before if version_of(delta, key) != before[key]]
        if changed:
            raise LakeError(
                f"another run wrote {', '.join(changed)} of {_name_of(folder)} meanwhile, and its rows stand"
            )
        delta.create_write_transaction(
            adds,
            "overwrite",
            delta.schema(),
            ["day"] if days else None,
            [("day", "in", days)] if days else None,
            commit_properties=CommitProperties(app_transactions=[Transaction(*mark) for mark in marks]),
        )

    _retry(folder, ", ".join(before), commit)


def append_rows(folder: str, files: list[Row], values: dict[str, str], appended: Appended) -> None:
    """Adds new files in one transaction, and leaves in the log what they cost."""
    (column,) = values
    adds = _add_actions(files, column)
    told = values | {"row_count": str(appended.row_count), "seconds": str(appended.seconds)}
    told["cpu_seconds"] = json.dumps(dict(appended.cpu_seconds))

    def commit(delta: DeltaTable) -> None:
        delta.create_write_transaction(
            adds, "append", delta.schema(), list(values), commit_properties=CommitProperties(custom_metadata=told)
        )

    _retry(folder, " ".join(values.values()), commit)


def _add_actions(files: list[Row], column: str | None) -> list[AddAction | RemoveAction]:
    """Of files that all hold rows of one value of the column, if there is one."""
    now = int(time.time() * 1000)
    return [
        AddAction(
            file.path,
            file.size,
            {column: file.value} if column else {},
            now,
            True,
            json.dumps({"numRecords": file.rows}),
        )
        for file in files
    ]


def _retry(folder: str, key: str, commit: Callable[[DeltaTable], None]) -> None:
    """Commits to the table as it is now, again and again while others are quicker."""
    for attempt in range(MAX_COMMITS):
        try:
            commit(DeltaTable(folder, storage_options=storage_options(folder)))
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 20)))  # noqa: S311 only spreads the writers
        else:
            return
    raise LakeError(f"{key} of {_name_of(folder)} could not be committed in {MAX_COMMITS} attempts: too many writers")
