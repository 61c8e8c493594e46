"""Reports: what a reader of an asset's page is told about a table or a model once it is stored.

Plain values; how Dagster shows them is `resources/lake/tables.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pyspark.sql import DataFrame

from pipeline.storage.counting import Day
from pipeline.storage.rows import LazyRows

Number = float | int


_PARTS: Final = ("numbers", "texts", "tables", "images")


@dataclass(frozen=True)
class Report:
    """What is told of one day, or of a whole table.

    Attributes:
        numbers: drawn as lines over time; shares from 0 to 1.
        texts: short plain facts.
        tables: Markdown, by title.
        images: JPEG, by title.
    """

    numbers: Mapping[str, Number] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A frame to be stored, and how to tell of it afterwards: counting it before would run the backbone twice.

    Attributes:
        frame: lazy; rows, where they are written by the workers that make them.
        describe: from the stored rows to the reports of their days; days are counted together, since a Spark job for
            each would take longer than their pictures.
    """

    frame: DataFrame | LazyRows
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
