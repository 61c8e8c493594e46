"""Schemas: every column of every table has a comment, and every source column that a comment names exists."""

import re

import dagster as dg
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from assets.definitions import build_definitions
from pipeline.daily import difficulty_table, predictions
from pipeline.drift import comparison
from pipeline.evaluation import label_issues
from pipeline.images import features, labels, split
from pipeline.images import image_files as images
from pipeline.reviews import review_queue, reviews
from pipeline.similarity import near_duplicates
from pipeline.storage.columns.schema import find_sources, parse_schema
from pipeline.training import contenders
from resources.instance.pages import show_schema
from resources.lake.columns import ADDED_COLUMNS
from resources.settings import read_settings

SCHEMAS = {
    "contenders": contenders.SCHEMA,
    "difficulty": difficulty_table.SCHEMA,
    "drift": comparison.SCHEMA,
    "image_features": features.SCHEMA,
    "images": images.SCHEMA,
    "label_issues": label_issues.SCHEMA,
    "near_duplicates": near_duplicates.SCHEMA,
    "predictions": predictions.SCHEMA,
    "review_queue": review_queue.SCHEMA,
    "reviews": reviews.SCHEMA,
    "training_features": features.TRAINING_SCHEMA,
    "training_images": labels.SCHEMA,
    "training_split": split.SCHEMA,
}
OWN = {
    ("drift", "image_count"),
    ("drift", "summary"),
    ("label_issues", "reason"),
    ("training_images", "image_id"),
    ("training_images", "path"),
}
"""Columns of the name of one upstream that come from elsewhere: most of these files are no reviewed ones."""

PREDICTION = {"predicted_label", "confidence"}
FIRST_COLUMNS = {
    "images": {"day", "image_id", "path", "length", "modified_at", "content", "read_error"},
    "image_features": {"day", "image_id", "features", "width", "height", "format", "error", "backbone"},
    "predictions": {"day", "image_id", "path", "probabilities", "decision", "error", "classifier", "backbone"}
    | PREDICTION,
    "review_queue": {"day", "image_id", "path", "reason"} | PREDICTION,
}
"""Columns of the daily tables of version 0.1.0, but for those that it added to its own tables."""


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> dict[str, StructType]:
    return {name: parse_schema(ddl) for name, ddl in SCHEMAS.items()}


@pytest.fixture(scope="module")
def upstream() -> dict[str, set[str]]:
    specs = build_definitions(read_settings()).resolve_all_asset_specs()
    return {spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps} for spec in specs}


def comment_of(table: StructType, column: str) -> str:
    return table[column].metadata.get("comment") or ""


def test_every_table_has_a_schema_here() -> None:
    specs = build_definitions(read_settings()).resolve_all_asset_specs()
    assert {"contenders"} | {s.key.to_user_string() for s in specs if "deltalake" in s.kinds} == SCHEMAS.keys()


@pytest.mark.parametrize("name", FIRST_COLUMNS)
def test_a_lake_of_the_first_version_gains_every_column_that_it_lacks(name: str, tables: dict[str, StructType]) -> None:
    assert set(tables[name].fieldNames()) - FIRST_COLUMNS[name] == set(ADDED_COLUMNS.get(name, ()))


def test_every_column_is_described(tables: dict[str, StructType]) -> None:
    for name, table in tables.items():
        for column in table.fieldNames():
            assert len(comment_of(table, column)) > 10, f"{name}.{column}"


def test_every_source_column_exists(tables: dict[str, StructType]) -> None:
    for name, table in tables.items():
        for column in table.fieldNames():
            for source, source_column in find_sources(comment_of(table, column)):
                assert source_column in tables[source].fieldNames(), f"{name}.{column}: {source}.{source_column}"


def test_every_mention_of_a_source_can_be_parsed(tables: dict[str, StructType]) -> None:
    for name, table in tables.items():
        for column in table.fieldNames():
            comment = comment_of(table, column)
            written = [each for each in re.findall(r"([a-z_]+)\.([a-z_]+)", comment) if each[0] in tables]
            assert find_sources(comment) == written, f"{name}.{column}"


def test_a_column_that_an_upstream_table_also_has_names_it_as_its_source(
    tables: dict[str, StructType], upstream: dict[str, set[str]]
) -> None:
    for name, table in tables.items():
        above = {column for each in upstream[name] & tables.keys() for column in tables[each].fieldNames()}
        for column in set(table.fieldNames()) & above:
            assert (name, column) in OWN or find_sources(comment_of(table, column)), f"{name}.{column}"


def test_the_page_of_a_table_shows_the_lineage_of_its_columns(tables: dict[str, StructType]) -> None:
    lineage = show_schema(tables["predictions"])["dagster/column_lineage"].value.deps_by_column
    assert lineage["path"] == [dg.TableColumnDep(dg.AssetKey("images"), "path")]
    assert lineage["error"] == [
        dg.TableColumnDep(dg.AssetKey("image_features"), "error"),
        dg.TableColumnDep(dg.AssetKey("images"), "read_error"),
    ]
    assert "decision" not in lineage


def test_sources_are_parsed_from_comments() -> None:
    assert find_sources("the day, from images.day") == [("images", "day")]
    assert find_sources("from a.b, c.d or e.f; null where manifest.csv has none") == [
        ("a", "b"),
        ("c", "d"),
        ("e", "f"),
    ]
    assert find_sources("told from its folder") == []
