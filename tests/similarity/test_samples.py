"""Samples: the same images give the same matrix, of limited size."""

from datetime import date

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.similarity.samples import collect_days, sample_days, sample_vectors


def test_a_sample_does_not_depend_on_the_order_and_has_unit_rows(spark: SparkSession) -> None:
    rows = [(f"{number:064x}", [float(number), 3.0]) for number in range(20)]
    schema = "image_id string, features array<float>"
    ids, vectors = sample_vectors(spark.createDataFrame(rows, schema), 7)
    again, same = sample_vectors(spark.createDataFrame(rows[::-1], schema).repartition(3), 7)
    assert ids == again
    assert len(set(ids)) == 7
    assert np.array_equal(vectors, same)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_images_without_features_are_ignored_and_zeros_stay_zeros(spark: SparkSession) -> None:
    rows = [("a" * 64, [0.0, 0.0]), ("b" * 64, None)]
    ids, vectors = sample_vectors(spark.createDataFrame(rows, "image_id string, features array<float>"), 7)
    assert ids == ["a" * 64]
    assert not vectors.any()


def test_no_images_give_no_rows(spark: SparkSession) -> None:
    ids, vectors = sample_vectors(spark.createDataFrame([], "image_id string, features array<float>"), 7)
    assert (ids, len(vectors)) == ([], 0)


def test_the_sample_of_a_day_does_not_depend_on_other_days(spark: SparkSession) -> None:
    schema = "day date, image_id string, features array<float>"
    days = [date(2026, 11, 20), date(2026, 11, 21)]
    rows = [(days[number % 3 % 2], f"{number:03}", [float(number), 1.0]) for number in range(60)]
    unreadable = [(date(2026, 11, 22), "none", None)]
    frame = spark.createDataFrame([*rows, *unreadable], schema).repartition(3)
    sample = sample_days(frame, 7)
    assert {row["day_count"] for row in sample.collect()} == {20, 40}
    found = collect_days(sample)
    assert found.keys() == {str(day) for day in days}
    for day in days:
        ids, vectors = sample_vectors(frame.where(F.col("day") == day), 7)
        assert found[str(day)][0] == ids
        assert (found[str(day)][1] == vectors).all()
