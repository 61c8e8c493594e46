"""Calibration: confidence matches accuracy, and the target precision is reached with statistical confidence."""

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import calibrate, fit_temperature, soften, soften_column
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.reliability import bin_predictions, calibration_error, chance_error
from pipeline.evaluation.thresholds import choose_label_thresholds, choose_threshold


def draw_predictions(count: int, temperature: float, seed: int = 1, classes: int = 5) -> LabelledPredictions:
    """Draws predictions with this true temperature: labels follow the rescaled probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = soften(shares, temperature)
    names = np.array([f"label {number}" for number in range(classes)], object)
    drawn = (true.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    ids = np.array([f"{number:064}" for number in range(count)], object)
    return LabelledPredictions(ids, names[drawn], names[shares.argmax(axis=1)], tuple(names), shares)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_true_temperature_is_found(temperature: float) -> None:
    predictions = draw_predictions(20_000, temperature)
    assert fit_temperature(predictions.probabilities, predictions.label_index) == pytest.approx(temperature, rel=0.05)


def test_overconfident_predictions_are_calibrated_on_other_images_too() -> None:
    calibration = calibrate(draw_predictions(3000, 2.5), 0.7)
    others = draw_predictions(20_000, 2.5, seed=99)
    raw = calibration_error(bin_predictions(others.confidence, others.is_right))
    confidence = soften(others.probabilities, calibration.temperature).max(axis=1)
    assert calibration_error(bin_predictions(confidence, others.is_right)) < 0.02 < 0.1 < raw
    assert (confidence >= calibration.threshold).mean() == pytest.approx(calibration.coverage, abs=0.03)


def test_the_target_precision_is_reached_on_other_images() -> None:
    others = draw_predictions(100_000, 1.0, seed=99)
    kept, coverages = 0, []
    for seed in range(40):
        calibration = calibrate(draw_predictions(1000, 1.0, seed), 0.9)
        confidence = soften(others.probabilities, calibration.temperature).max(axis=1)
        kept += others.is_right[confidence >= calibration.threshold].mean() >= 0.9
        coverages.append(calibration.coverage)
    assert kept >= 36
    order = np.argsort(-others.confidence)
    best = np.flatnonzero(others.is_right[order].cumsum() >= 0.9 * np.arange(1, 100_001))[-1] / 100_000
    assert np.mean(coverages) > 0.75 * best, "no coverage would reach the target trivially"


def test_the_lower_bound_must_reach_the_target_precision() -> None:
    confidence = np.linspace(1, 0.5, 200)
    is_right = np.arange(200) % 20 != 19
    assert is_right.mean() == 0.95
    assert choose_threshold(confidence, is_right, 0.95) is None, "exactly the target, but not significantly"
    assert choose_threshold(confidence, is_right, 0.9) == 0.5
    assert choose_threshold(confidence[:19], is_right[:19], 0.95) is None, "nineteen correct ones are too few"


def test_predictions_of_equal_confidence_are_accepted_together_or_not_at_all() -> None:
    confidence = np.repeat([0.9, 0.8], 100)
    is_right = np.repeat([True, False], 100)
    is_right[100:110] = True
    assert choose_threshold(confidence, is_right, 0.95) == 0.9


def test_without_predictions_there_is_no_threshold() -> None:
    calibration = calibrate(draw_predictions(0, 1.0), 0.95)
    assert (calibration.threshold, calibration.temperature, calibration.coverage) == (None, 1.0, 0.0)


def test_few_images_without_errors_make_nothing_certain() -> None:
    shares = np.tile([0.9, 0.1], (60, 1))
    names = np.full(60, "a", object)
    calibration = calibrate(LabelledPredictions(names, names, names, ("a", "b"), shares), 0.95)
    assert soften(shares, calibration.temperature).max(axis=1).mean() == pytest.approx(61 / 62, abs=1e-6)
    assert calibration.threshold is not None


def test_an_unknown_label_is_ignored_by_the_temperature_and_counts_as_wrong() -> None:
    predictions = draw_predictions(500, 1.0)
    labels = predictions.labels.copy()
    labels[:250] = "unheard of"
    relabelled = LabelledPredictions(
        predictions.image_ids, labels, predictions.predicted, predictions.classes, predictions.probabilities
    )
    assert fit_temperature(relabelled.probabilities, relabelled.label_index) == fit_temperature(
        predictions.probabilities[250:], predictions.label_index[250:]
    )
    assert not relabelled.is_right[:250].any()


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.0, 20.0])
def test_a_column_is_rescaled_like_an_array_even_with_zeros(spark: SparkSession, temperature: float) -> None:
    shares = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.999999, 1e-6, 0.0]])
    frame = spark.createDataFrame([(number, row.tolist()) for number, row in enumerate(shares)], ["n", "p"])
    found = [row[0] for row in frame.orderBy("n").select(soften_column(F.col("p"), temperature)).collect()]
    assert np.allclose(found, soften(shares, temperature), atol=1e-12)
    assert np.allclose(np.sum(found, axis=1), 1)


def test_the_error_of_calibrated_confidences_stays_within_chance() -> None:
    beyond = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        confidence = random.uniform(0.5, 1, 150)
        is_right = random.random(150) < confidence
        beyond += calibration_error(bin_predictions(confidence, is_right)) > chance_error(confidence, draw_count=200)
    assert beyond <= 6
    assert calibration_error(bin_predictions(confidence, random.random(150) < confidence - 0.3)) > chance_error(
        confidence
    )


def test_a_label_whose_predictions_weigh_nothing_is_never_answered() -> None:
    confidence, labels = np.array([0.9, 0.8, 0.7, 0.6]), np.array(["a", "a", "b", "b"], object)
    is_right, weights = np.array([True, True, True, True]), np.array([1.0, 1.0, 0.0, 0.0])
    found = choose_label_thresholds(confidence, labels, is_right, 0.95, weights)
    assert found.tolist() == [0.0, 0.0, np.inf, np.inf]
