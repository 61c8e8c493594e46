"""Vectors: the same pictures give the same matrix, and never a larger one than was asked for."""

import numpy as np
from pyspark.sql import SparkSession

from pipeline.vectors import sample_vectors


def test_a_sample_is_the_same_whatever_the_order_and_has_unit_rows(spark: SparkSession) -> None:
    rows = [(f"{number:064x}", [float(number), 3.0]) for number in range(20)]
    schema = "image_id string, features array<float>"
    ids, vectors = sample_vectors(spark.createDataFrame(rows, schema), 7)
    again, same = sample_vectors(spark.createDataFrame(rows[::-1], schema).repartition(3), 7)
    assert ids == again
    assert len(set(ids)) == 7
    assert np.array_equal(vectors, same)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_a_picture_without_features_and_a_vector_of_zeros_do_no_harm(spark: SparkSession) -> None:
    rows = [("a" * 64, [0.0, 0.0]), ("b" * 64, None)]
    ids, vectors = sample_vectors(spark.createDataFrame(rows, "image_id string, features array<float>"), 7)
    assert ids == ["a" * 64]
    assert not vectors.any()


def test_no_picture_gives_no_row(spark: SparkSession) -> None:
    ids, vectors = sample_vectors(spark.createDataFrame([], "image_id string, features array<float>"), 7)
    assert (ids, len(vectors)) == ([], 0)
