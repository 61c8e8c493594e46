"""Schemas: one DDL text per table, with a comment on every column, from which code, tables, pages and tests take it."""

from pyspark.sql.types import StructType


def parse_schema(ddl: str) -> StructType:
    """Parses the DDL of a table, comments included; needs a Spark session."""
    schema = StructType.fromDDL(ddl)
    if not isinstance(schema, StructType):
        raise TypeError(f"not the columns of a table: {ddl}")
    return schema
