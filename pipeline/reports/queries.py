"""Queries: counts and samples of stored rows in SQL, on the driver.

A Spark job takes a tenth of a second or more, whatever it reads. DuckDB reads the columns that a query names, in
batches, and spills to temporary files beyond `MEMORY`.
"""

import atexit
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.counting import Day
from pipeline.storage.files import open_folder
from pipeline.storage.stored_rows import StoredRows

if TYPE_CHECKING:
    import duckdb

MEMORY: Final = "1GB"
_SETTINGS: Final[dict[str, str | int | float | list[str]]] = {
    "memory_limit": MEMORY,
    "default_null_order": "nulls_first_on_asc_last_on_desc",  # as Spark's
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a name in a query is that of a table, never of a variable
}

_SPARK_FUNCTIONS: Final = """
    CREATE MACRO sha2(words, bits) AS sha256(words);
    CREATE MACRO array_size(items) AS len(items);
    CREATE MACRO arrays_overlap(items, more) AS list_has_any(items, more);
    CREATE MACRO get(items, place) AS items[place + 1];
"""
"""Names of functions in Spark's SQL, for `portable_query.py`."""

Rows: TypeAlias = StoredRows | pa.Table
Record = Mapping[str, Any]
"""A row of a result, by column."""


def query(sql: str, parameters: Mapping[str, object] | None = None, **tables: Rows) -> list[dict[str, Any]]:
    """Runs a query and returns its rows; arguments as of `query_table`."""
    return query_table(sql, parameters, **tables).to_pylist()


def query_table(sql: str, parameters: Mapping[str, object] | None = None, **tables: Rows) -> pa.Table:
    """Runs a query.

    Args:
        sql: the query, in DuckDB's SQL.
        parameters: values of the names that begin with a dollar sign.
        tables: rows, by the name in the query.
    """
    with _database().cursor() as connection:
        for name, rows in tables.items():
            connection.register(name, _open(rows) if isinstance(rows, StoredRows) else rows)
        return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def has_column(rows: Rows, name: str) -> bool:
    """Whether rows have a column; those of an earlier version may lack one."""
    return name in (rows.schema.fieldNames() if isinstance(rows, StoredRows) else rows.column_names)


def by_day(rows: Iterable[dict[str, Any]]) -> dict[Day, list[dict[str, Any]]]:
    """Groups rows by `day`, or under None where there is none, and keeps their order."""
    found: dict[Day, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.get("day"), []).append(row)
    return found


@cache
def _database() -> "duckdb.DuckDBPyConnection":
    """Opens the database in memory that all queries of this process share; it takes a hundredth of a second."""
    import duckdb  # executors import this module and have none

    folder = tempfile.TemporaryDirectory(prefix="daylight-queries-")
    atexit.register(folder.cleanup)
    database = duckdb.connect(config={**_SETTINGS, "temp_directory": folder.name})
    database.execute(_SPARK_FUNCTIONS)
    return database


def _open(stored: StoredRows) -> ds.Dataset:
    """Opens the files of a table; the day of a file is no column in it."""
    filesystem, root = open_folder(stored.folder)
    days = [ds.field("day") == pa.scalar(file.day, pa.date32()) if file.day else None for file in stored.files]
    return ds.FileSystemDataset.from_paths(
        [f"{root}/{file.path}" for file in stored.files],
        schema=to_arrow_schema(stored.schema),
        format=ds.ParquetFileFormat(),
        filesystem=filesystem,
        partitions=[ds.scalar(True) if day is None else day for day in days],
    )
