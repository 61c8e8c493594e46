"""Fingerprints: they depend on the rows of a table and on nothing else."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.storage.columns.schema import fingerprint


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    values = [("a", [0.25, 0.5], None, b"one"), ("b", None, "empty", b"two"), ("c", [1.0], None, b"three")]
    return spark.createDataFrame(values, "image_id string, features array<float>, error string, content binary")


def test_the_order_of_rows_does_not_change_the_fingerprint(rows: DataFrame) -> None:
    assert fingerprint(rows.orderBy(F.desc("image_id")).coalesce(1)) == fingerprint(rows.repartition(3))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.where("image_id != 'c'"),
        lambda rows: rows.union(rows.where("image_id = 'c'")),
        lambda rows: rows.union(rows).union(rows),
        lambda rows: rows.withColumn("error", F.coalesce("error", F.lit(""))),
        lambda rows: rows.withColumn("features", F.reverse("features")),
    ],
    ids=["a row less", "a row twice", "all rows thrice", "empty instead of none", "numbers in another order"],
)
def test_every_change_of_a_row_changes_the_fingerprint(change: object, rows: DataFrame) -> None:
    assert callable(change)
    assert fingerprint(change(rows)) != fingerprint(rows)


def test_image_ids_are_hashed_and_image_bytes_are_not_read(rows: DataFrame) -> None:
    unread = rows.withColumn("content", F.raise_error(F.lit("read")).cast("binary"))
    assert fingerprint(unread) == fingerprint(rows)


def test_a_table_without_rows_has_a_fingerprint(rows: DataFrame) -> None:
    assert fingerprint(rows.limit(0)) == fingerprint(rows.where("false"))
