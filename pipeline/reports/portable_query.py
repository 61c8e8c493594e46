"""Portable query: one SQL text, which DuckDB runs on the driver or Spark on workers.

A query of several stages takes Spark a second, and most days are small.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipeline.reports.queries import Rows, query_table
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.local_frames import open_table
from pipeline.storage.rows import LazyRows, SmallRows, rows_of
from pipeline.storage.stored_rows import StoredRows

_ARROW: Final = re.compile(r"(\w+) -> ")


@dataclass(frozen=True)
class PortableQuery:
    """A query in Spark's SQL.

    Attributes:
        sql: the text, with `{name}` for a table, `$name` for a parameter and `x -> ` before the body of a function. Of
            Spark's functions DuckDB knows the usual ones, and those that `queries.py` defines.
        schema: the columns of the result, with comments.
        parameters: values of the parameters, each of which the text uses.
    """

    sql: str
    schema: StructType
    parameters: Mapping[str, object]

    def run(self, spark: SparkSession, **tables: Rows | DataFrame) -> SmallRows | LazyRows:
        """Runs the query by Spark if one of its tables is a frame, otherwise on the driver."""
        small = {name: table for name, table in tables.items() if not isinstance(table, DataFrame)}
        return self.run_on_driver(**small) if len(small) == len(tables) else self.run_in_spark(spark, **tables)

    def run_on_driver(self, **tables: Rows) -> SmallRows:
        """Runs the query by DuckDB, immediately."""
        sql = _ARROW.sub(r"lambda \1: ", self.sql.format(**{name: name for name in tables}))
        return SmallRows(query_table(sql, self.parameters, **tables).cast(to_arrow_schema(self.schema)), self.schema)

    def run_in_spark(self, spark: SparkSession, **tables: Rows | DataFrame) -> LazyRows:
        """Runs the query by Spark, lazily."""
        frames = {name: _open(spark, table) for name, table in tables.items()}
        return rows_of(spark.sql(self.sql.replace("$", ":"), dict(self.parameters), **frames).to(self.schema))


def _open(spark: SparkSession, table: Rows | DataFrame) -> DataFrame:
    if isinstance(table, DataFrame):
        return table
    return table.frame if isinstance(table, StoredRows) else open_table(spark, table)
