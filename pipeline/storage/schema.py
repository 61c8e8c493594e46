"""Schemas: one DDL text per table, with a comment on every column, from which code, tables, pages and tests take it."""

import hashlib
import re
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructType

from pipeline.storage.counting import only_row


def parse_schema(ddl: str) -> StructType:
    """Parses the DDL of a table, comments included; needs a Spark session."""
    schema = StructType.fromDDL(ddl)
    if not isinstance(schema, StructType):
        raise TypeError(f"not the columns of a table: {ddl}")
    return schema


def find_sources(comment: str) -> list[tuple[str, str]]:
    """The columns of other tables that a comment names, as in `from images.path or images.day`: table and column."""
    column = r"[a-z_]+\.[a-z_]+"
    listed = re.findall(rf"\bfrom ({column}(?:(?:, | or | and )\s*{column})*)", comment)
    return [(table, name) for names in listed for table, name in re.findall(r"([a-z_]+)\.([a-z_]+)", names)]


def select_columns(frame: DataFrame, schema: StructType) -> DataFrame:
    """The columns of a schema in its order, with its comments; `DataFrame.to` would copy arrays by element."""
    return frame.select(*(F.col(field.name).alias(field.name, metadata=field.metadata) for field in schema))


DIGITS: Final = 16


def fingerprint(rows: DataFrame) -> str:
    """Reads all columns but bytes, for which `image_id` stands; the same rows give the same text of 16 hex digits."""
    columns = [field.name for field in rows.schema if not isinstance(field.dataType, BinaryType)]
    told = rows.select(F.xxhash64(*columns).alias("told"))
    found = only_row(told.agg(F.count("*"), F.bit_xor("told"), F.sum(F.col("told").cast("decimal(38)"))))
    return hashlib.sha256(" ".join(map(str, found)).encode()).hexdigest()[:DIGITS]
