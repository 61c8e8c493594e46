"""The difficulty of a day: small days are pooled, hard days need more confidence, and the unknown is not answered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.daily.day_samples import DaySample
from pipeline.daily.difficulty import (
    MIN_IMAGES,
    NO_AUDIT,
    POOLED_DAYS,
    POOLED_IMAGES,
    Audit,
    estimate_difficulty,
    list_pooled,
    select_audit,
)
from pipeline.daily.difficulty_table import (
    ESTIMATED,
    PROVEN,
    UNKNOWN,
    Difficulty,
    describe_difficulty,
    read_difficulties,
    store_difficulties,
)
from pipeline.drift.comparison import IMAGES, WEEK, Comparison
from pipeline.evaluation.calibration import UNCALIBRATED
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.training.classifier import Classifier

DAY = date(2026, 11, 20)
BEFORE = DAY - timedelta(days=1)
CLASSES = ("cat", "dog")
CLASSIFIER = Classifier("v1", "b1", cast("Any", None), {"calibration": UNCALIBRATED.to_dict()})


def make_level(mean: float) -> LabelledPredictions:
    """Predictions of well calibrated confidences around a mean."""
    count, chance = 2_000, np.random.default_rng(round(mean * 100))
    confidence = np.clip(chance.beta(8 * mean, 8 * (1 - mean), count) / 2 + 0.5, 0.5, 1)
    is_right = chance.random(count) < confidence
    ids, labels = np.arange(count).astype(str).astype(object), np.where(is_right, "cat", "dog").astype(object)
    shares = np.stack([confidence, 1 - confidence], axis=1)
    return LabelledPredictions(ids, labels, np.full(count, "cat", object), CLASSES, shares)


LEVELS = tuple(make_level(mean) for mean in (0.95, 0.8, 0.6, 0.4))


def measure(mean: float, count: int = 300, flagged_count: int = 0) -> DaySample:
    """A sample with this mean confidence and a deviation of 0.1, followed by flagged images of another."""
    confidence = np.append(mean + 0.1 * (-1.0) ** np.arange(count), np.full(flagged_count, 0.1))
    total = count + flagged_count
    return DaySample(confidence, np.arange(total) >= count, total)


def estimate(
    measured: Mapping[date, DaySample],
    audit: Audit = NO_AUDIT,
    comparisons: Sequence[Comparison] = (),
    review_flags: Sequence[str] = (),
) -> Difficulty:
    counts = {day: each.image_count for day, each in measured.items()}
    return estimate_difficulty(DAY, counts, measured, CLASSIFIER, LEVELS, audit, comparisons, review_flags)


def test_a_day_with_enough_images_stands_alone() -> None:
    assert list_pooled(DAY, {DAY: POOLED_IMAGES, BEFORE: 50}) == [DAY]


def test_a_small_day_takes_whole_days_before_it_until_there_are_enough_images() -> None:
    counts = {DAY: 30, BEFORE: 40, DAY - timedelta(days=2): POOLED_IMAGES, DAY - timedelta(days=3): 9}
    assert list_pooled(DAY, counts) == [DAY - timedelta(days=ago) for ago in range(3)]
    assert len(list_pooled(DAY, {DAY: 1})) == POOLED_DAYS


def test_the_harder_the_day_the_higher_its_threshold_and_the_lower_its_estimated_accuracy() -> None:
    rows = [estimate({DAY: measure(mean)}) for mean in (0.98, 0.87, 0.78, 0.72)]
    assert [row.state for row in rows] == [ESTIMATED] * 4
    accuracies = [row.accuracy for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(row.accuracy_low < row.accuracy < row.accuracy_high for row in rows)
    thresholds = [row.threshold or 1.0 for row in rows]
    assert thresholds == sorted(thresholds)
    assert [row.is_hard for row in rows] == [False, True, True, True]
    assert "as easy as the training set" in rows[0].summary
    assert "harder than the training set" in rows[-1].summary


def test_a_small_day_is_estimated_with_the_day_before() -> None:
    alone = estimate({DAY: measure(0.9, MIN_IMAGES)})
    pooled = estimate({DAY: measure(0.9, MIN_IMAGES), BEFORE: measure(0.8)})
    assert (pooled.image_count, pooled.pooled_count, pooled.first_day) == (MIN_IMAGES, MIN_IMAGES + 300, BEFORE)
    assert pooled.accuracy < alone.accuracy


def test_the_same_features_give_the_same_row() -> None:
    measured = {DAY: measure(0.9, 50), BEFORE: measure(0.8)}
    assert estimate(measured) == estimate(measured)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({DAY: measure(0.9, MIN_IMAGES - 1)}, "19 images since 2026-11-07 are too few"),
        ({}, "0 images since 2026-11-07 are too few"),
        ({DAY: measure(0.55)}, "harder than what the training set can be used to estimate"),
    ],
)
def test_what_cannot_be_estimated_goes_to_review(measured: dict[date, DaySample], words: str) -> None:
    row = estimate(measured)
    assert (row.state, row.threshold, row.accuracy) == (UNKNOWN, None, None)
    assert words in row.summary
    assert row.summary.endswith("so every prediction goes to review")
    assert row.is_hard == bool(measured)


def test_a_classifier_without_cross_fits_estimates_nothing() -> None:
    row = estimate_difficulty(DAY, {DAY: 300}, {DAY: measure(0.9)}, CLASSIFIER, ())
    assert (row.state, row.threshold) == (UNKNOWN, None)


def test_rows_are_stored_read_and_described(spark: SparkSession) -> None:
    rows = [replace(estimate({DAY: measure(0.98)}), day=BEFORE), estimate({})]
    table = store_difficulties(rows).table
    assert read_difficulties(table) == rows
    reports = describe_difficulty(table)
    assert reports[BEFORE].texts == {"promise": rows[0].summary, "state": ESTIMATED}
    assert reports[BEFORE].numbers["threshold"] == rows[0].threshold
    assert set(reports[DAY].numbers) == {"pooled_count"}


def label(error_count: int, count: int = 200) -> Audit:
    """Labels of predictions that are all more certain than the threshold of an easy day."""
    return Audit(np.linspace(0.9, 1, count), np.arange(count) >= error_count)


def test_labels_of_earlier_days_prove_the_threshold() -> None:
    measured = {DAY: measure(0.98)}
    row, without = estimate(measured, label(0)), estimate(measured)
    assert (row.state, row.audited_count) == (PROVEN, 200)
    assert row.threshold == max(0.9, without.threshold or 0)
    assert row.threshold >= without.threshold


def test_labels_never_lower_a_threshold() -> None:
    hard = estimate({DAY: measure(0.72)})
    sure = Audit(np.linspace(0.5, 1, 400), np.ones(400, bool))
    assert estimate({DAY: measure(0.72)}, sure).threshold == hard.threshold


def test_labels_that_refute_the_promise_stop_all_answers() -> None:
    wrong = Audit(np.linspace(0.9, 1, 200), np.arange(200) % 5 > 0)
    row = estimate({DAY: measure(0.98)}, wrong)
    assert (row.state, row.threshold) == (UNKNOWN, None)
    assert "fewer than 95% of the answers are right" in row.summary


def test_errors_among_less_certain_answers_raise_the_threshold() -> None:
    row, without = estimate({DAY: measure(0.98)}, label(40)), estimate({DAY: measure(0.98)})
    assert row.state == PROVEN
    assert row.threshold > max(0.92, without.threshold)


def test_few_labels_change_nothing_but_their_count() -> None:
    row, without = estimate({DAY: measure(0.98)}, label(1, 30)), estimate({DAY: measure(0.98)})
    assert row == replace(without, audited_count=30)


def test_only_labels_of_the_four_weeks_before_count() -> None:
    days = [DAY - timedelta(days=ago) for ago in (0, 1, 28, 29)]
    audits = pa.table({"day": days, "confidence": [0.1, 0.2, 0.3, 0.4], "is_right": [True, False, True, True]})
    assert select_audit(audits, DAY).confidence.tolist() == [0.2, 0.3]
    assert select_audit(audits, DAY).is_right.tolist() == [False, True]


def test_images_of_a_cluster_are_taken_for_wrong_and_the_sentence_names_them() -> None:
    calm = estimate({DAY: measure(0.87)})
    cluster = Comparison(DAY, IMAGES, "some images", 300, p_value=0.001, cluster_count=17, cluster_share=0.2)
    row = estimate({DAY: measure(0.87)}, comparisons=[cluster])
    assert row.accuracy == pytest.approx(0.8 * cast("float", calm.accuracy))
    assert row.threshold > calm.threshold, "some images of the class may not be found"
    assert "20% of the images resemble each other more than the training set, perhaps a class never seen" in row.summary


def test_a_cluster_of_the_week_alone_is_mentioned_and_changes_no_number() -> None:
    calm = estimate({DAY: measure(0.87)})
    week = Comparison(DAY, WEEK, "the week differs in some images", 900, p_value=0.001, cluster_share=0.1)
    row = estimate({DAY: measure(0.87)}, comparisons=[week])
    assert (row.accuracy, row.threshold) == (calm.accuracy, calm.threshold)
    assert row.summary == f"{calm.summary}. The week differs in some images, perhaps a class never seen"


def test_comparisons_are_read_as_they_were_stored(spark: SparkSession) -> None:
    compared = (
        Comparison(DAY, IMAGES, "some", 30, p_value=0.001, examples=(("a", 0.5),), cluster_count=17),
        Comparison(DAY, WEEK, "not compared", 3),
    )
    row = Difficulty(DAY, "v1", 30, 30, 30, DAY, comparisons=compared)
    assert read_difficulties(store_difficulties([row]).table) == [row]


def test_a_day_too_hard_for_labels_is_answered_with_what_stands_above_them() -> None:
    count, classes = 2_000, ("cat/black", "cat/red", "dog/pug")
    labels = np.array(classes, object)[np.where(np.arange(count) % 50 == 0, 2, np.arange(count) % 2)]
    shares = np.tile([0.38, 0.6, 0.02], (count, 1))  # a cat, but which one?
    level = LabelledPredictions(LEVELS[0].image_ids, labels, np.full(count, "cat/red", object), classes, shares)
    row = estimate_difficulty(DAY, {DAY: 300}, {DAY: measure(0.66)}, CLASSIFIER, [level])
    assert (row.state, row.threshold, list(row.ancestor_thresholds)) == (ESTIMATED, None, [1])
    assert row.summary.endswith("images are answered with what stands above their label where that is sure enough")


def test_images_with_a_flag_that_the_training_set_hardly_has_are_left_out_of_the_estimate() -> None:
    calm, row = estimate({DAY: measure(0.87)}), estimate({DAY: measure(0.87, 300, 100)}, review_flags=["blurred"])
    assert (row.accuracy, row.threshold) == (calm.accuracy, calm.threshold)
    assert (row.image_count, row.pooled_count, row.review_flags) == (400, 300, ("blurred",))
    assert "25% of the images are blurred, which the training set hardly has, and go to review" in row.summary


def test_a_day_of_flagged_images_only_is_unknown() -> None:
    row = estimate({DAY: measure(0.9, 0, 300)}, review_flags=["blurred", "dark"])
    assert (row.state, row.threshold) == (UNKNOWN, None)
    assert "0 images since" in row.summary
    assert "100% of the images are blurred or dark" in row.summary


def test_the_sample_of_a_large_day_makes_its_interval_wider() -> None:
    whole, sampled = measure(0.87, 1_000), replace(measure(0.87, 100), image_count=1_000)
    rows = [estimate({DAY: each}) for each in (whole, sampled)]
    assert [row.pooled_count for row in rows] == [1_000, 1_000]
    assert rows[1].accuracy == pytest.approx(rows[0].accuracy)
    assert rows[1].accuracy_low < rows[0].accuracy_low
