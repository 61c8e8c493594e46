"""DDL: our tables' columns are read as Spark reads them."""

from importlib import import_module
from pkgutil import walk_packages

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

import pipeline
from pipeline.storage.columns.ddl import read_ddl
from pipeline.storage.columns.schema import parse_schema

WIDE = """
    day date comment 'an arrow -> and a <sign>, with a line
        break', a_1 array<struct<b: string not null, c map<string, array<double>>>> not null comment '',
    d TIMESTAMP, e binary, f boolean, g long, h map<int,bigint>
"""


def test_columns_are_read_as_spark_reads_them(spark: SparkSession) -> None:
    assert read_ddl(WIDE) == StructType.fromDDL(WIDE)


def test_spark_reads_the_schema_of_no_table(spark: SparkSession) -> None:
    schemas = {
        f"{module.name}.{name}": text
        for module in walk_packages(pipeline.__path__, "pipeline.")
        if not module.ispkg
        for name, text in vars(import_module(module.name)).items()
        if name.endswith("SCHEMA") and isinstance(text, str)
    }
    assert len(schemas) > 25
    for name, text in schemas.items():
        assert read_ddl(text) == StructType.fromDDL(text), name


@pytest.mark.parametrize("text", ["a decimal(9,2)", "a interval year to month", "`a b` int"])
def test_other_types_and_names_are_left_to_spark(spark: SparkSession, text: str) -> None:
    assert read_ddl(text) is None
    assert parse_schema(text) == StructType.fromDDL(text)


@pytest.mark.parametrize(
    "text", ["", "a", "a int,", "a int b int", "a array<int", "a int comment", "a int not", "a <int>"]
)
def test_what_is_no_ddl_is_not_read(text: str) -> None:
    assert read_ddl(text) is None
