"""Label issues: wrong labels stand first, and a picture under two labels before all."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.label_issues import SCHEMA, describe_label_issues, rank_labels
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.storage.schema import parse_schema

CLASSES = ("apple", "pear", "plum")
FLIPPED = range(0, 300, 30)


def name(number: int) -> str:
    return f"{number:064}"


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    """300 pictures in turn of three classes, ten of which are filed under another; and one filed twice."""
    rows = [(name(number), f"{number}.jpg", CLASSES[(number + (number in FLIPPED)) % 3]) for number in range(300)]
    rows += [(name(900), "twice.jpg", "apple"), (name(900), "again.jpg", "plum"), (None, "gone.jpg", "apple")]
    return spark.createDataFrame(rows, "image_id string, path string, label string")


@pytest.fixture(scope="module")
def answers() -> LabelledPredictions:
    """Answers that are mostly sure, and right of what the picture shows."""
    random = np.random.default_rng(3)
    shows = np.arange(300) % 3
    shares = random.dirichlet([0.5, 0.5, 0.5], 300) * 0.4
    shares[np.arange(300), shows] += 0.6
    filed = np.array([CLASSES[(number + (number in FLIPPED)) % 3] for number in range(300)], object)
    ids = np.array([name(number) for number in range(300)], object)
    return LabelledPredictions(ids, filed, np.array(CLASSES, object)[shares.argmax(axis=1)], CLASSES, shares)


@pytest.fixture(scope="module")
def ranked(spark: SparkSession, images: DataFrame, answers: LabelledPredictions) -> DataFrame:
    twins = spark.createDataFrame([(name(4), name(5)), (name(6), name(9))], "image_id string, near_duplicate_id string")
    return rank_labels(images, twins, [answers]).cache()


def test_every_readable_file_has_a_rank_of_its_own(ranked: DataFrame) -> None:
    rows = ranked.orderBy("rank").collect()
    assert [row["rank"] for row in rows] == list(range(1, 303))
    assert ranked.columns == parse_schema(SCHEMA).fieldNames()


def test_conflicts_stand_first_with_the_label_of_the_other(ranked: DataFrame) -> None:
    rows = ranked.orderBy("rank").limit(4).collect()
    assert {(row["path"], row["suggested_label"], row["reason"]) for row in rows} == {
        ("twice.jpg", "plum", "conflict"),
        ("again.jpg", "apple", "conflict"),
        ("4.jpg", "plum", "conflict"),
        ("5.jpg", "pear", "conflict"),
    }
    assert {row["margin"] for row in rows if row["path"] in ("twice.jpg", "again.jpg")} == {None}


def test_near_duplicates_of_one_label_are_no_conflict(ranked: DataFrame) -> None:
    assert ranked.where("path = '6.jpg' and reason = 'conflict'").isEmpty()


def test_flipped_labels_come_next_with_what_the_picture_shows(ranked: DataFrame) -> None:
    rows = ranked.where("rank > 4").orderBy("rank").limit(len(FLIPPED)).collect()
    assert {row["path"] for row in rows} == {f"{number}.jpg" for number in FLIPPED}
    assert all(row["suggested_label"] == CLASSES[int(row["path"].split(".")[0]) % 3] for row in rows)
    assert {row["reason"] for row in rows} == {"disagreement"}
    assert all(row["margin"] > 0 for row in ranked.where("reason = 'agreement'").collect())


def test_a_label_that_no_classifier_knows_is_doubted(spark: SparkSession, answers: LabelledPredictions) -> None:
    images = spark.createDataFrame([(name(7), "7.jpg", "quince")], "image_id string, path string, label string")
    labels = answers.labels.copy()
    labels[7] = "quince"
    strange = LabelledPredictions(answers.image_ids, labels, answers.predicted, CLASSES, answers.probabilities)
    nothing = spark.createDataFrame([], "image_id string, near_duplicate_id string")
    (row,) = rank_labels(images, nothing, [strange]).collect()
    assert (row["suggested_label"], row["reason"]) == ("pear", "disagreement")


def test_the_page_counts_what_is_doubted_and_names_what_is_confused(ranked: DataFrame, images: DataFrame) -> None:
    shown = images.withColumn("content", F.lit(b"not a picture"))
    report = describe_label_issues(shown)(ranked)
    assert report.numbers == {"conflict_count": 4, "disagreement_count": len(FLIPPED)}
    assert "| apple | plum | 1 |" in report.tables["confused_labels"]
    assert report.images["worst_labels"].startswith(b"\xff\xd8")
