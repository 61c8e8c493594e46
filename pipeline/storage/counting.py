"""Small aggregations of a frame."""

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
