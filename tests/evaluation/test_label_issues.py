"""Label issues: wrong labels come first, images under two labels before all others."""

import numpy as np
import pytest
from conftest import StoreRows
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.label_issues import SCHEMA, describe_label_issues, rank_labels
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.storage.columns.schema import parse_schema

CLASSES = ("apple", "pear", "plum")
FLIPPED = range(0, 300, 30)


def name(number: int) -> str:
    return f"{number:064}"


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    """300 images of three classes in turn, ten under a wrong label, and one filed twice."""
    rows = [(name(number), f"{number}.jpg", CLASSES[(number + (number in FLIPPED)) % 3]) for number in range(300)]
    rows += [(name(900), "twice.jpg", "apple"), (name(900), "again.jpg", "plum"), (None, "gone.jpg", "apple")]
    return spark.createDataFrame(rows, "image_id string, path string, label string")


@pytest.fixture(scope="module")
def predictions() -> LabelledPredictions:
    """Predictions that are mostly confident and correct for the content of the image."""
    random = np.random.default_rng(3)
    shows = np.arange(300) % 3
    shares = random.dirichlet([0.5, 0.5, 0.5], 300) * 0.4
    shares[np.arange(300), shows] += 0.6
    filed = np.array([CLASSES[(number + (number in FLIPPED)) % 3] for number in range(300)], object)
    ids = np.array([name(number) for number in range(300)], object)
    return LabelledPredictions(ids, filed, np.array(CLASSES, object)[shares.argmax(axis=1)], CLASSES, shares)


@pytest.fixture(scope="module")
def ranked(spark: SparkSession, images: DataFrame, predictions: LabelledPredictions) -> DataFrame:
    near_duplicates = spark.createDataFrame(
        [(name(4), name(5)), (name(6), name(9))], "image_id string, near_duplicate_id string"
    )
    return rank_labels(images, near_duplicates, [predictions]).cache()


def test_every_readable_file_has_a_unique_rank(ranked: DataFrame) -> None:
    rows = ranked.orderBy("rank").collect()
    assert [row["rank"] for row in rows] == list(range(1, 303))
    assert ranked.columns == parse_schema(SCHEMA).fieldNames()


def test_conflicts_come_first_with_the_other_label(ranked: DataFrame) -> None:
    rows = ranked.orderBy("rank").limit(4).collect()
    assert {(row["path"], row["suggested_label"], row["reason"]) for row in rows} == {
        ("twice.jpg", "plum", "conflict"),
        ("again.jpg", "apple", "conflict"),
        ("4.jpg", "plum", "conflict"),
        ("5.jpg", "pear", "conflict"),
    }
    assert {row["margin"] for row in rows if row["path"] in ("twice.jpg", "again.jpg")} == {None}


def test_near_duplicates_with_one_label_are_no_conflict(ranked: DataFrame) -> None:
    assert ranked.where("path = '6.jpg' and reason = 'conflict'").isEmpty()


def test_flipped_labels_come_next_with_the_true_label(ranked: DataFrame) -> None:
    rows = ranked.where("rank > 4").orderBy("rank").limit(len(FLIPPED)).collect()
    assert {row["path"] for row in rows} == {f"{number}.jpg" for number in FLIPPED}
    assert all(row["suggested_label"] == CLASSES[int(row["path"].split(".")[0]) % 3] for row in rows)
    assert {row["reason"] for row in rows} == {"disagreement"}
    assert all(row["margin"] > 0 for row in ranked.where("reason = 'agreement'").collect())


def test_a_label_outside_the_classes_is_a_disagreement(spark: SparkSession, predictions: LabelledPredictions) -> None:
    images = spark.createDataFrame([(name(7), "7.jpg", "quince")], "image_id string, path string, label string")
    labels = predictions.labels.copy()
    labels[7] = "quince"
    relabelled = LabelledPredictions(
        predictions.image_ids, labels, predictions.predicted, CLASSES, predictions.probabilities
    )
    nothing = spark.createDataFrame([], "image_id string, near_duplicate_id string")
    (row,) = rank_labels(images, nothing, [relabelled]).collect()
    assert (row["suggested_label"], row["reason"]) == ("pear", "disagreement")


def test_the_page_counts_issues_and_lists_confused_labels(
    ranked: DataFrame, images: DataFrame, store_rows: StoreRows
) -> None:
    shown = store_rows(images.withColumn("content", F.lit(b"not an image")))
    report = describe_label_issues(shown)(ranked)
    assert report.numbers == {"conflict_count": 4, "disagreement_count": len(FLIPPED)}
    assert "| apple | plum | 1 |" in report.tables["confused_labels"]
    assert report.images["worst_labels"].startswith(b"\xff\xd8")
