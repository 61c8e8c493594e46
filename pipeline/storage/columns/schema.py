"""Schemas: one DDL text per table, with comments on its columns, is the source for code, tables, pages and tests."""

import hashlib
import re
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructType

from pipeline.storage.columns.ddl import read_ddl
from pipeline.storage.counting import only_row

FINGERPRINT_DIGITS: Final = 16  # hexadecimal


def parse_schema(ddl: str) -> StructType:
    """Parses the DDL of a table, comments included; types that our tables lack need a Spark session."""
    schema = read_ddl(ddl) or StructType.fromDDL(ddl)
    if not isinstance(schema, StructType):
        raise TypeError(f"not the DDL of a table: {ddl}")
    return schema


def find_sources(comment: str) -> list[tuple[str, str]]:
    """Finds the source columns that a comment names, as in `from images.path or images.day`, as (table, column)."""
    column = r"[a-z_]+\.[a-z_]+"
    listed = re.findall(rf"\bfrom ({column}(?:(?:, | or | and )\s*{column})*)", comment)
    return [(table, name) for names in listed for table, name in re.findall(r"([a-z_]+)\.([a-z_]+)", names)]


def select_columns(frame: DataFrame, schema: StructType) -> DataFrame:
    """Selects the columns of a schema, with its comments; `DataFrame.to` would copy arrays element by element."""
    if frame.schema == schema:
        return frame
    if {field.name: field for field in frame.schema} == {field.name: field for field in schema}:
        return frame.select(*schema.names)
    return frame.select(*(F.col(field.name).alias(field.name, metadata=field.metadata) for field in schema))


def is_textual(kind: pa.DataType) -> bool:
    """Whether values of a type are texts, or lists or structs that contain texts."""
    if pa.types.is_list(kind):
        return is_textual(kind.value_type)
    return pa.types.is_string(kind) or (pa.types.is_struct(kind) and any(is_textual(field.type) for field in kind))


def fingerprint(rows: DataFrame) -> str:
    """Hashes all rows, in any order, without binary columns: `image_id` contains their digest."""
    columns = [field.name for field in rows.schema if not isinstance(field.dataType, BinaryType)]
    hashes = rows.select(F.xxhash64(*columns).alias("hash"))
    totals = only_row(hashes.agg(F.count("*"), F.bit_xor("hash"), F.sum(F.col("hash").cast("decimal(38)"))))
    return hashlib.sha256(" ".join(map(str, totals)).encode()).hexdigest()[:FINGERPRINT_DIGITS]
