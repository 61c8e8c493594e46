"""Queries read stored files without Spark: every day, every version of a table, and no text as SQL."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.reports.queries import by_day, has_column, query
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredFile, StoredRows

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
SCHEMA = "day date, path string, confidence double, probabilities map<string, double>, flags array<string>"
COUNT = "SELECT day, count(*) AS count, sum(confidence) AS total FROM rows GROUP BY day ORDER BY day"


@pytest.fixture
def rows(spark: SparkSession, tmp_path: Path) -> StoredRows:
    """Three rows of Friday and one of Saturday, whose file was written before the table had maps and flags."""
    root = tmp_path / "a folder [of] tables"
    friday = pa.table({"path": ["a", "b", "c"], "confidence": [0.5, None, 0.25], "flags": [["dark", "tiny"], [], None]})
    saturday = pa.table({"path": ["d"], "confidence": [1.0]})
    files = []
    for day, table in ((FRIDAY, friday), (SATURDAY, saturday)):
        path = f"day={day}/{'0' * 8}.parquet"
        (root / path).parent.mkdir(parents=True)
        pq.write_table(table, root / path)
        files.append(StoredFile(path, day, table.num_rows))
    return StoredRows(spark, str(root), parse_schema(SCHEMA), tuple(files))


def test_rows_of_all_days_are_aggregated(rows: StoredRows) -> None:
    friday, saturday = {"day": FRIDAY, "count": 3, "total": 0.75}, {"day": SATURDAY, "count": 1, "total": 1.0}
    assert query(COUNT, rows=rows) == [friday, saturday]


def test_stored_rows_and_arrow_tables_give_the_same_answers(rows: StoredRows) -> None:
    assert query(COUNT, rows=rows.read_small()) == query(COUNT, rows=rows)


def test_a_column_that_a_file_lacks_is_null(rows: StoredRows) -> None:
    found = query("SELECT path, flags FROM rows WHERE probabilities IS NULL ORDER BY path", rows=rows)
    assert [row["flags"] for row in found] == [["dark", "tiny"], [], None, None]
    assert has_column(rows, "flags")
    assert not has_column(rows, "level")


@pytest.mark.parametrize("order", ["confidence", "confidence DESC"])
def test_rows_come_in_the_order_of_spark(order: str, rows: StoredRows) -> None:
    expected = rows.spark.sql(f"SELECT path FROM {{rows}} ORDER BY {order}", rows=rows.frame).collect()
    assert query(f"SELECT path FROM rows ORDER BY {order}", rows=rows) == [row.asDict() for row in expected]


def test_no_files_are_no_rows(rows: StoredRows) -> None:
    empty = StoredRows(rows.spark, rows.folder, rows.schema, ())
    assert query(COUNT, rows=empty) == []
    assert query("SELECT count(*) AS count FROM rows", rows=empty) == [{"count": 0}]


def test_a_value_is_never_sql(rows: StoredRows) -> None:
    hostile = "x' OR '1'='1"
    assert query("SELECT path FROM rows WHERE path = $path", {"path": hostile}, rows=rows) == []


def test_a_name_is_a_table_and_never_a_variable(rows: StoredRows) -> None:
    others = pa.table({"path": ["a"]})
    assert others.num_rows
    with pytest.raises(duckdb.CatalogException, match="others"):
        query("SELECT * FROM others", rows=rows)


def test_rows_are_grouped_by_day_in_their_order() -> None:
    rows = [{"day": SATURDAY, "n": 1}, {"day": FRIDAY, "n": 2}, {"day": SATURDAY, "n": 3}]
    assert by_day(rows) == {SATURDAY: [rows[0], rows[2]], FRIDAY: [rows[1]]}
    assert by_day([{"n": 1}]) == {None: [{"n": 1}]}
