"""Schemas: one DDL text per table, with a comment on every column, is the source for code, tables, pages and tests."""

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
        raise TypeError(f"not the DDL of a table: {ddl}")
    return schema


def find_sources(comment: str) -> list[tuple[str, str]]:
    """The source columns that a comment names, as in `from images.path or images.day`, as pairs of table and column."""
    column = r"[a-z_]+\.[a-z_]+"
    listed = re.findall(rf"\bfrom ({column}(?:(?:, | or | and )\s*{column})*)", comment)
    return [(table, name) for names in listed for table, name in re.findall(r"([a-z_]+)\.([a-z_]+)", names)]


def select_columns(frame: DataFrame, schema: StructType) -> DataFrame:
    """Selects the columns of a schema, with its comments; `DataFrame.to` would copy arrays element by element."""
    return frame.select(*(F.col(field.name).alias(field.name, metadata=field.metadata) for field in schema))


DIGITS: Final = 16
"""Length of a fingerprint in hexadecimal digits."""


def fingerprint(rows: DataFrame) -> str:
    """Hashes all rows, in any order, without binary columns: their digest is in `image_id`."""
    columns = [field.name for field in rows.schema if not isinstance(field.dataType, BinaryType)]
    hashes = rows.select(F.xxhash64(*columns).alias("hash"))
    totals = only_row(hashes.agg(F.count("*"), F.bit_xor("hash"), F.sum(F.col("hash").cast("decimal(38)"))))
    return hashlib.sha256(" ".join(map(str, totals)).encode()).hexdigest()[:DIGITS]
