"""Arrow schemas of Spark's: PySpark's own function takes other arguments in every version."""

from typing import Final

import pyarrow as pa
from pyspark.sql import types as spark

PLAIN: Final[dict[type[spark.DataType], pa.DataType]] = {
    spark.BooleanType: pa.bool_(),
    spark.ByteType: pa.int8(),
    spark.ShortType: pa.int16(),
    spark.IntegerType: pa.int32(),
    spark.LongType: pa.int64(),
    spark.FloatType: pa.float32(),
    spark.DoubleType: pa.float64(),
    spark.StringType: pa.string(),
    spark.BinaryType: pa.binary(),
    spark.DateType: pa.date32(),
    spark.TimestampType: pa.timestamp("us", tz="UTC"),
    spark.TimestampNTZType: pa.timestamp("us"),
}


def to_arrow_schema(schema: spark.StructType) -> pa.Schema:
    """The Arrow schema of a table: Delta's types, timestamps in UTC, no comments.

    Raises:
        TypeError: if a type is none of Delta's.
    """
    return pa.schema([_to_field(field.name, field.dataType, field.nullable) for field in schema])


def _to_field(name: str, kind: spark.DataType, is_nullable: bool) -> pa.Field:
    return pa.field(name, _to_type(kind), nullable=is_nullable)


def _to_type(kind: spark.DataType) -> pa.DataType:
    if isinstance(kind, spark.DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, spark.ArrayType):
        return pa.list_(_to_field("element", kind.elementType, kind.containsNull))
    if isinstance(kind, spark.MapType):
        value = _to_field("value", kind.valueType, kind.valueContainsNull)
        return pa.map_(_to_field("key", kind.keyType, False), value)
    if isinstance(kind, spark.StructType):
        return pa.struct(to_arrow_schema(kind))
    if type(kind) not in PLAIN:
        raise TypeError(f"a table cannot hold {kind.simpleString()}")
    return PLAIN[type(kind)]
