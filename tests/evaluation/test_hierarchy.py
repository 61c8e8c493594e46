"""Labels that are paths: the ancestors that tell labels apart, and thresholds that keep the target at every depth."""

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.hierarchy import (
    choose_ancestor_thresholds,
    find_ancestors,
    find_best_of_top,
    is_right,
    list_depths,
    sum_members,
)
from pipeline.evaluation.labelled_predictions import LabelledPredictions

FRUIT = ("fruit/apple/gala", "fruit/apple/pink", "fruit/pear", "veg/leek", "veg/kale/red")


def test_flat_labels_have_no_ancestors() -> None:
    assert list_depths(("apple", "pear")) == []
    assert list_depths(()) == []


def test_the_deepest_ancestors_come_first_and_a_shallow_label_is_its_own() -> None:
    deep, top = list_depths(FRUIT)
    assert (deep.depth, deep.ancestors) == (2, ("fruit/apple", "fruit/pear", "veg/kale", "veg/leek"))
    assert (top.depth, top.ancestors) == (1, ("fruit", "veg"))
    assert top.members.tolist() == [0, 0, 0, 1, 1]


def test_an_ancestor_of_all_labels_and_one_of_each_label_alone_tell_nothing() -> None:
    assert list_depths(("shop/apple", "shop/pear")) == []
    assert [each.depth for each in list_depths(("a/x/1", "a/x/2", "b/y/1"))] == [2, 1]


def test_spark_and_numpy_find_the_same_ancestors(spark: SparkSession) -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(len(FRUIT)), 50)
    frame = spark.createDataFrame(
        [(number, row.tolist()) for number, row in enumerate(shares)], "n int, p array<double>"
    )
    rows = frame.select("n", find_ancestors(F.col("p"), FRUIT).alias("found")).orderBy("n").collect()
    for place, depth in enumerate(list_depths(FRUIT)):
        sums = sum_members(shares, depth)
        assert [row["found"][place]["label"] for row in rows] == [depth.ancestors[best] for best in sums.argmax(axis=1)]
        assert [row["found"][place]["confidence"] for row in rows] == pytest.approx(sums.max(axis=1))
        assert {row["found"][place]["depth"] for row in rows} == {depth.depth}
    assert frame.select(find_ancestors(F.col("p"), ("a", "b")).alias("none")).first()["none"] == []


def test_an_answer_is_right_if_it_is_the_label_or_above_it(spark: SparkSession) -> None:
    pairs = [("a/b", "a/b", True), ("a/b", "a", True), ("a", "a/b", False), ("ab", "a", False), (None, "a", None)]
    frame = spark.createDataFrame(pairs, "label string, predicted string, expected boolean")
    assert frame.where(~is_right(F.col("label"), F.col("predicted")).eqNullSafe(F.col("expected"))).count() == 0


@pytest.fixture(scope="module")
def doubtful() -> LabelledPredictions:
    """Half of the images are certain; the other half are apples, of which the variety is a guess."""
    count, chance = 2_000, np.random.default_rng(2)
    classes = ("apple/gala", "apple/pink", "pear/kaiser")
    truth = chance.integers(0, 3, count)
    is_certain = np.arange(count) % 2 == 0
    truth[~is_certain] = chance.integers(0, 2, np.count_nonzero(~is_certain))
    shares = np.full((count, 3), 0.02)
    shares[np.arange(count), truth] = 0.96
    shares[~is_certain] = np.array([0.52, 0.46, 0.02])
    predicted = np.array(classes, object)[shares.argmax(axis=1)]
    ids = np.arange(count).astype(str).astype(object)
    return LabelledPredictions(ids, np.array(classes, object)[truth], predicted, classes, shares)


def test_images_not_sure_of_a_label_are_answered_with_an_ancestor(doubtful: LabelledPredictions) -> None:
    thresholds = choose_ancestor_thresholds(doubtful, 0.9, 0.95, np.ones(len(doubtful)))
    assert thresholds == {1: pytest.approx(0.98)}


def test_an_ancestor_that_is_often_wrong_has_no_threshold(doubtful: LabelledPredictions) -> None:
    labels = doubtful.labels.copy()
    labels[1::4] = "pear/kaiser"  # half of the doubtful images
    mixed = LabelledPredictions(
        doubtful.image_ids, labels, doubtful.predicted, doubtful.classes, doubtful.probabilities
    )
    assert choose_ancestor_thresholds(mixed, 0.9, 0.95, np.ones(len(mixed))) == {}


def test_the_ancestor_of_the_most_probable_labels_is_that_of_all_if_they_have_all_probability() -> None:
    labels = [f"{kind}/{number}" for kind in ("apple", "pear", "plum") for number in range(5)]
    (depth,) = list_depths(labels)
    shares = np.random.default_rng(0).dirichlet(np.full(len(labels), 0.2), 40)
    places = np.argsort(-shares, axis=1)
    best, confidence = find_best_of_top(np.take_along_axis(shares, places, axis=1), places, depth)
    sums = sum_members(shares, depth)
    np.testing.assert_array_equal(best, sums.argmax(axis=1))
    np.testing.assert_allclose(confidence, sums.max(axis=1))
    few, _ = find_best_of_top(np.take_along_axis(shares, places, axis=1), places[:, :1], depth)
    np.testing.assert_array_equal(few, depth.members[places[:, 0]])
