"""Local frames: a few rows of the driver as a frame, through Arrow.

From Python's own rows Spark would make an RDD, whose Python workers are of another kind: a second daemon that imports
everything again, 1.2 CPU-seconds.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipeline.storage.columns.arrow_schema import to_arrow_schema


def make_frame(spark: SparkSession, schema: StructType, records: Sequence[Mapping[str, object]] = ()) -> DataFrame:
    """Makes a frame from Python values by column; without records it has no rows."""
    return open_table(spark, pa.Table.from_pylist(list(records), to_arrow_schema(schema)), schema)


def open_table(spark: SparkSession, table: pa.Table, schema: StructType | str | None = None) -> DataFrame:
    """Makes a frame of all rows of a table; Spark itself stops at the first empty chunk."""
    whole = table.combine_chunks()
    return spark.createDataFrame(whole) if schema is None else spark.createDataFrame(whole, schema)
