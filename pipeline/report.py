"""Reports: what a reader of an asset's page is told about a table or a model once it is stored.

Plain values; how Dagster shows them is `resources/tables.py`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from pyspark.sql import DataFrame, Row

from pipeline.rows import Rows

Number = float | int

Day = date | None
"""Of a row or a report; None in a table that has no days."""

_PARTS: Final = ("numbers", "texts", "tables", "pictures")


@dataclass(frozen=True)
class Report:
    """What is told of one day, or of a whole table.

    Attributes:
        numbers: drawn as lines over time; shares from 0 to 1.
        texts: short plain facts.
        tables: Markdown, by title.
        pictures: JPEG, by title.
    """

    numbers: Mapping[str, Number] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A frame to be stored, and how to tell of it afterwards: counting it before would run the backbone twice.

    Attributes:
        frame: lazy; rows, where they are written by the workers that make them.
        describe: from the stored rows to the reports of their days; days are counted together, since a Spark job for
            each would take longer than their pictures.
    """

    frame: DataFrame | Rows
    describe: Callable[[DataFrame], Mapping[Day, Report]]


def join_reports(*reports: Report) -> Report:
    """All that several reports tell, in their order."""
    return Report(*({k: v for each in reports for k, v in getattr(each, name).items()} for name in _PARTS))


def describe_whole(*describes: Callable[[DataFrame], Report]) -> Callable[[DataFrame], Mapping[Day, Report]]:
    """The description of a table without days, that tells what several do."""
    return lambda rows: {None: join_reports(*(describe(rows) for describe in describes))}


def describe_all(
    *describes: Callable[[DataFrame], Mapping[Day, Report]],
) -> Callable[[DataFrame], Mapping[Day, Report]]:
    """One description of stored rows that tells of every day what several do."""

    def describe(rows: DataFrame) -> Mapping[Day, Report]:
        told = [each(rows) for each in describes]
        days = dict.fromkeys(day for reports in told for day in reports)
        return {day: join_reports(*(reports.get(day, Report()) for reports in told)) for day in days}

    return describe


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


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, in which no text of a stranger becomes Markdown."""
    lines = [list(map(str, header)), ["---"] * len(header), *([plain(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text from a folder or a file name, with everything but letters, digits and a few signs made harmless."""
    harmless = "".join(letter if letter.isalnum() or letter in " -.,%·±" else "_" for letter in text)
    return re.sub(r"(?i)www\.", "www_", harmless)  # Markdown would make a link of it


def harmless(text: str) -> str:
    """Text in which every sign that does not show, such as one that moves a cursor, stands as an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
