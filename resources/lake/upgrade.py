"""Upgrades: tables that an older version of Daylight wrote are copied to where this version reads them.

Runs at the start of every run, without Spark. Nothing is computed, and no former table is changed or deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deltalake import DeltaTable, Field, Schema
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.object_stores import storage_options
from pipeline.storage.parquet_writer import write_batches
from resources.lake.commits import WHOLE_TABLE, LakeError, open_table, replace_rows, version_of


@dataclass(frozen=True)
class FormerTable:
    """The place of a table in a former version.

    Attributes:
        name: table that held the rows.
        columns: names of the columns to copy, the former by the present one.
        required: a column, by its former name, without which there is nothing to copy.
    """

    name: str
    columns: Mapping[str, str]
    required: str


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


FORMER_TABLES: Final[Mapping[str, FormerTable]] = {
    "near_duplicates": FormerTable(
        "training_twins", {**_same("image_id", "similarity", "correlation"), "near_duplicate_id": "twin_id"}, "twin_id"
    ),
    "training_split": FormerTable(
        "training_features", _same("image_id", "label", "group", "split", "split_alone"), "split"
    ),
}
"""Until version 0.1 the near-duplicates had another name, and the split lay among the features."""


def upgrade_lake(root: str) -> list[str]:
    """Copies what is still only in former tables; safe when several runs start at once.

    Returns:
        The tables that were written, none in an upgraded or a new lake.
    """
    return [table for table, former in FORMER_TABLES.items() if _copy(root, table, former)]


def _copy(root: str, table: str, former: FormerTable) -> bool:
    source, folder = open_table(f"{root}/{former.name}"), f"{root}/{table}"
    stored = {field.name: field for field in source.schema().fields} if source else {}
    if source is None or former.required not in stored or _is_written(open_table(folder)):
        return False
    columns = {name: stored[column] for name, column in former.columns.items() if column in stored}
    schema = Schema([Field(name, field.type, metadata=field.metadata) for name, field in columns.items()])
    DeltaTable.create(folder, schema, mode="ignore", storage_options=storage_options(folder))
    rows = source.to_pyarrow_table(columns=[field.name for field in columns.values()]).rename_columns(list(columns))
    files = write_batches(iter(rows.to_batches()), rows.schema, folder, None, CpuTimer())
    try:
        replace_rows(folder, [Row(**file) for file in files], {WHOLE_TABLE: 0})
    except LakeError:
        if not _is_written(open_table(folder)):
            raise
        return False  # another run upgraded it meanwhile
    return True


def _is_written(delta: DeltaTable | None) -> bool:
    return delta is not None and version_of(delta, WHOLE_TABLE) > 0
