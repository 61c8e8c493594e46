"""The audit draws a simple random sample of each day and estimates an accuracy with a valid interval."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.intervals import interval_of_share
from pipeline.reports.portable_query import PortableQuery
from pipeline.reviews.audit import DRAWN, AuditSize, Stratum, estimate_accuracy
from pipeline.storage.columns.schema import parse_schema

LARGE, SMALL, TINY = date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22)
COUNTS = {LARGE: 3000, SMALL: 200, TINY: 4}
IMAGES = "day date, image_id string, is_correct boolean"
SIZE = AuditSize(share=0.02, min_count=10, max_count=50)


def draw(spark: SparkSession, images: DataFrame, size: AuditSize) -> list[dict]:
    """Draws by both engines, which agree."""
    schema = parse_schema(f"{IMAGES}, audit_weight double")
    chosen = "SELECT day, image_id, is_correct, audit_weight FROM drawn ORDER BY day, draw"
    query = PortableQuery(
        "WITH candidates AS (SELECT * FROM {images}), drawn AS (" + DRAWN + ")" + chosen, schema, size.parameters
    )
    small = query.run_on_driver(images=images.toArrow()).table.to_pylist()
    assert small == query.run_in_spark(spark, images=images).frame.toArrow().to_pylist()
    return small


@pytest.fixture(scope="module")
def drawn(spark: SparkSession) -> list[dict]:
    """Samples of three days, drawn from images whose predictions are known to be correct or not."""
    rows = [(day, number, number % 2 == 0) for day, count in COUNTS.items() for number in range(count)]
    images = spark.createDataFrame(rows, "day date, number int, is_correct boolean")
    images = images.withColumn("image_id", F.sha2(F.concat_ws("/", "day", "number"), 256))
    return draw(spark, images, SIZE)


def sample_of(rows: list[dict], day: date) -> list[dict]:
    return [row for row in rows if row["day"] == day and row["audit_weight"]]


def test_a_sample_has_its_share_of_the_day_within_bounds(drawn: list[dict]) -> None:
    assert {day: len(sample_of(drawn, day)) for day in COUNTS} == {LARGE: 50, SMALL: 10, TINY: 4}


def test_the_weights_of_a_sample_add_up_to_its_day(drawn: list[dict]) -> None:
    for day, count in COUNTS.items():
        weights = {row["audit_weight"] for row in sample_of(drawn, day)}
        assert weights == {count / len(sample_of(drawn, day))}
    assert len(drawn) == sum(COUNTS.values()), "no image is lost or duplicated"


def test_each_question_draws_images_of_its_own(spark: SparkSession, drawn: list[dict]) -> None:
    other = draw(spark, spark.createDataFrame(drawn, IMAGES), replace(SIZE, question="damage"))
    own, others = ({row["image_id"] for row in sample_of(rows, LARGE)} for rows in (drawn, other))
    assert len(own) == len(others) == 50
    assert len(own & others) < 10


def test_the_draw_is_the_same_at_every_run_for_any_predictions_and_order(
    spark: SparkSession, drawn: list[dict]
) -> None:
    others = [(row["day"], row["image_id"], False) for row in reversed(drawn) if row["day"] != LARGE]
    again = draw(spark, spark.createDataFrame(others, IMAGES), SIZE)
    for day in (SMALL, TINY):
        expected = {row["image_id"]: row["audit_weight"] for row in sample_of(drawn, day)}
        assert {row["image_id"]: row["audit_weight"] for row in again if row["day"] == day and row["audit_weight"]} == (
            expected
        )


def test_the_draw_is_independent_of_predictions_and_split(drawn: list[dict]) -> None:
    sample = sample_of(drawn, LARGE)
    assert 12 < sum(row["is_correct"] for row in sample) < 38, "half of the images, within four standard deviations"
    held_out = sum(int(row["image_id"][:8], 16) % 100 < 20 for row in sample)
    assert 0 < held_out < 22, "a fifth of them, within four standard deviations"


def test_the_interval_of_one_day_is_wilson_s() -> None:
    found = estimate_accuracy([Stratum(5000, 100, 93)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx(interval_of_share(0.93, 100))
    assert found.share == pytest.approx(0.93)


def test_days_are_weighted_by_images_and_not_by_labels() -> None:
    found = estimate_accuracy([Stratum(10_000, 100, 60), Stratum(100, 100, 100)])
    assert found is not None
    assert found.share == pytest.approx((10_000 * 0.6 + 100) / 10_100)
    assert found.high < 0.8, "the share of all labels together"


def test_an_interval_without_errors_has_a_positive_width() -> None:
    found = estimate_accuracy([Stratum(500, 10, 10), Stratum(50, 10, 10)])
    assert found is not None
    assert (found.share, found.high) == pytest.approx((1.0, 1.0))
    assert 0.5 < found.low < interval_of_share(1.0, 20)[0], "unequal rates are less informative than equal ones"


def test_no_labels_give_no_accuracy() -> None:
    assert estimate_accuracy([]) is None


@pytest.mark.parametrize("accuracy", [0.85, 0.97])
def test_the_interval_covers_the_truth_in_nineteen_cases_of_twenty(accuracy: float) -> None:
    """Days differ in size and accuracy; an unweighted mean would be biased by its largest day."""
    generator = np.random.default_rng(20261125)
    images, labels = np.array([200, 800, 3000, 12_000]), np.array([10, 16, 60, 100])
    accuracies = np.clip(accuracy + np.array([0.02, 0.01, 0.0, -0.01]), 0, 1)
    truth = float(accuracies @ images / images.sum())
    correct = generator.binomial(labels, accuracies, (1000, 4))
    covered = 0
    for each in correct:
        found = estimate_accuracy([Stratum(*day) for day in zip(images, labels, each, strict=True)])
        covered += found is not None and found.low <= truth <= found.high
    assert 0.93 <= covered / 1000 <= 0.985
