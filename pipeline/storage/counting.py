"""Counting: the rows of an aggregation, as a whole and by day."""

from collections.abc import Iterable
from datetime import date

from pyspark.sql import DataFrame, Row

Day = date | None
"""Of a row or a report; None in a table that has no days."""


def only_row(frame: DataFrame) -> Row:
    """The row of an aggregation, which always has one."""
    (row,) = frame.collect()
    return row


def count_by(frame: DataFrame, *columns: str) -> list[Row]:
    """The number of rows by these columns, as `count`; the largest first."""
    return sorted(frame.groupBy(*columns).count().collect(), key=lambda row: (-row["count"], str(row)))


def count_by_day(frame: DataFrame, *columns: str) -> dict[Day, list[Row]]:
    """As `count_by`, of every day."""
    return by_day(count_by(frame, *(name for name in ("day",) if name in frame.columns), *columns))


def by_day(rows: Iterable[Row]) -> dict[Day, list[Row]]:
    """Rows by their day, in their order; those of a table without days under None."""
    found: dict[Day, list[Row]] = {}
    for row in rows:
        found.setdefault(row.asDict().get("day"), []).append(row)
    return found
