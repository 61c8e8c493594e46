"""Small aggregations of a table, in total and by day."""

from collections.abc import Iterable
from datetime import date

from pyspark.sql import DataFrame, Row

Day = date | None  # None in a table without days


def only_row(frame: DataFrame) -> Row:
    """The only row of a global aggregation."""
    (row,) = frame.collect()
    return row


def count_by(frame: DataFrame, *columns: str) -> list[Row]:
    """Counts rows by these columns, as `count`; largest first."""
    return sorted(frame.groupBy(*columns).count().collect(), key=lambda row: (-row["count"], str(row)))


def count_by_day(frame: DataFrame, *columns: str) -> dict[Day, list[Row]]:
    """Like `count_by`, for each day."""
    return by_day(count_by(frame, *(name for name in ("day",) if name in frame.columns), *columns))


def by_day(rows: Iterable[Row]) -> dict[Day, list[Row]]:
    """Groups rows by day, or under None in a table without days, and keeps their order."""
    found: dict[Day, list[Row]] = {}
    for row in rows:
        found.setdefault(row.asDict().get("day"), []).append(row)
    return found
