"""Upgrades: copies tables of an older version of Daylight to where this version reads them; former tables stay.

Runs at the start of every run, without Spark.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from deltalake import DeltaTable, Field, Schema
from pyspark.sql import Row

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from resources.lake.commits import WHOLE_TABLE, LakeError, create_table, open_table, replace_rows, version_of
from resources.lake.datasets import open_dataset


class FormerTable(NamedTuple):
    """The place of a table in a former version."""

    name: str
    columns: Sequence[str]  # to copy; those named in `RENAMED` have a new name
    required: str  # a column without which there is nothing to copy


FORMER_TABLES: Final[Mapping[str, FormerTable]] = {  # until version 0.1
    "near_duplicates": FormerTable("training_twins", ("image_id", "similarity", "correlation", "twin_id"), "twin_id"),
    "training_split": FormerTable("training_features", ("image_id", "label", "group", "split", "split_alone"), "split"),
}
RENAMED: Final = {"twin_id": "near_duplicate_id"}


def upgrade_lake(root: str) -> list[str]:
    """Copies tables that were not copied yet, and returns their names; safe when several runs start at once."""
    return [table for table, former in FORMER_TABLES.items() if _copy(root, table, former)]


def _copy(root: str, table: str, former: FormerTable) -> bool:
    source, folder = open_table(f"{root}/{former.name}"), f"{root}/{table}"
    stored = {field.name: field for field in source.schema().fields} if source else {}
    if source is None or former.required not in stored or _is_written(open_table(folder)):
        return False
    columns = {RENAMED.get(name, name): stored[name] for name in former.columns if name in stored}
    schema = Schema([Field(name, field.type, metadata=field.metadata) for name, field in columns.items()])
    create_table(folder, schema, None)
    rows = open_dataset(source, f"{root}/{former.name}").to_table([field.name for field in columns.values()])
    rows = rows.rename_columns(list(columns))
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
