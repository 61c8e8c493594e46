"""Reports: plain values that describe a stored table or model. How Dagster shows them belongs to `resources/`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pyspark.sql import DataFrame

from pipeline.storage.counting import Day
from pipeline.storage.rows import LazyRows, SmallRows
from pipeline.storage.stored_rows import StoredRows

Number = float | int
_PARTS: Final = ("numbers", "texts", "tables", "images")


@dataclass(frozen=True)
class Report:
    """Description of one day, or of a whole table."""

    numbers: Mapping[str, Number] = field(default_factory=dict)  # plotted over time; shares are from 0 to 1
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)  # Markdown by title
    images: Mapping[str, bytes] = field(default_factory=dict)  # JPEGs by title


@dataclass(frozen=True)
class Table:
    """A frame to store, and a function that reports on each day of the stored rows.

    Describing the lazy frame instead would run the backbone twice. All days are counted together, because one Spark
    job a day would take longer than the images.
    """

    frame: DataFrame | LazyRows | SmallRows  # lazy, or rows that the workers or the driver write themselves
    describe: Callable[[Any], Mapping[Day, Report]]  # of `StoredRows`, small ones as a `pyarrow.Table`
    is_added: bool = False  # whether the rows are added to those of their day instead of replacing them


def join_reports(*reports: Report) -> Report:
    """Merges reports in order."""
    return Report(*({k: v for each in reports for k, v in getattr(each, name).items()} for name in _PARTS))


def describe_whole(describe: Callable[[DataFrame], Report]) -> Callable[[StoredRows], Mapping[Day, Report]]:
    """Makes the description of a table without days from one of a frame."""
    return lambda rows: {None: describe(rows.frame)}


def describe_all(
    *describes: Callable[[StoredRows], Mapping[Day, Report]],
) -> Callable[[StoredRows], Mapping[Day, Report]]:
    """Joins several descriptions of a table with days."""

    def describe(rows: StoredRows) -> Mapping[Day, Report]:
        described = [each(rows) for each in describes]
        days = dict.fromkeys(day for reports in described for day in reports)
        return {day: join_reports(*(reports.get(day, Report()) for reports in described)) for day in days}

    return describe
