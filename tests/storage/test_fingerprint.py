"""Fingerprints: of the rows of a table, and of nothing else."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.storage.schema import fingerprint


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    told = [("a", [0.25, 0.5], None, b"one"), ("b", None, "empty", b"two"), ("c", [1.0], None, b"three")]
    return spark.createDataFrame(told, "image_id string, features array<float>, error string, content binary")


def test_the_order_of_rows_does_not_show(rows: DataFrame) -> None:
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
def test_every_change_of_a_row_shows(change: object, rows: DataFrame) -> None:
    assert callable(change)
    assert fingerprint(change(rows)) != fingerprint(rows)


def test_a_picture_is_known_by_its_id_and_its_bytes_are_not_read(rows: DataFrame) -> None:
    unread = rows.withColumn("content", F.raise_error(F.lit("read")).cast("binary"))
    assert fingerprint(unread) == fingerprint(rows)


def test_a_table_without_rows_has_one_too(rows: DataFrame) -> None:
    assert fingerprint(rows.limit(0)) == fingerprint(rows.where("false"))
