"""Sets: thresholds of both answers to each question, promises, scores, and the rules of the gate."""

import numpy as np
import pytest

from pipeline.evaluation.calibration import UNCALIBRATED
from pipeline.evaluation.gate_rules import (
    Candidate,
    judge_accuracy,
    judge_calibration,
    judge_classes,
    judge_improvement,
    judge_vanished,
)
from pipeline.evaluation.levels import levels_of, table_of_levels
from pipeline.evaluation.mixture import choose_thresholds, mix
from pipeline.evaluation.set_calibration import choose_answer_thresholds, keep_answers, list_sure, soften_sets
from pipeline.evaluation.set_predictions import SetPredictions, predict_sets
from pipeline.evaluation.set_scores import evaluate_sets, measure_promises
from pipeline.images.label_sets import EMPTY, deny, write_set

CLASSES = ("dark", "warm")
TARGET = 0.95


def draw_predictions(count: int = 2000, seed: int = 0, skill: float = 3.0) -> SetPredictions:
    """Draws logits, and labels that hold with exactly their probabilities, so that these are calibrated."""
    random = np.random.default_rng(seed)
    shares = 1 / (1 + np.exp(-random.normal(0, skill, (count, 2)) + [0, 1]))
    holds = random.random((count, 2)) < shares
    labels = np.array([write_set(np.array(CLASSES)[each].tolist()) for each in holds], object)
    ids = np.array([f"{number:064}" for number in range(count)], object)
    return predict_sets(ids, labels, CLASSES, shares)


def make_candidate(predictions: SetPredictions, version: str = "new") -> Candidate:
    return Candidate(version, predictions, 1.0, None)


def test_each_answer_keeps_the_target_on_other_images() -> None:
    thresholds = choose_answer_thresholds(draw_predictions(), TARGET)
    assert thresholds.keys() == {"dark", "warm", deny("dark"), deny("warm")}
    for promise in measure_promises(draw_predictions(seed=1), thresholds).values():
        assert promise.count > 100
        assert promise.interval[1] >= TARGET


def test_an_answer_that_is_never_sure_enough_is_never_given() -> None:
    predictions = draw_predictions(40)
    assert choose_answer_thresholds(predictions, TARGET) == {}
    assert not list_sure(predictions, {}).any()


def test_labels_of_the_holdout_raise_a_threshold_that_they_refute() -> None:
    predictions = draw_predictions()
    kept = keep_answers({"dark": 0.5, deny("warm"): 0.999}, predictions, TARGET)
    assert kept["dark"] > 0.8
    assert kept[deny("warm")] == 0.999


def test_harder_images_need_more_confidence() -> None:
    calm, hard = draw_predictions(skill=4), draw_predictions(skill=2)
    easy, harder = (
        choose_thresholds((calm, hard), mix((calm, hard), level.confidence.mean()), UNCALIBRATED)
        for level in (calm, hard)
    )
    assert all(harder.labels[answer] > easy.labels[answer] for answer in ("dark", deny("dark")))


def test_scores_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, precision_score, recall_score

    predictions = draw_predictions(300)
    report = evaluate_sets(predictions, {"dark": 0.9})
    truth, found = predictions.holds, predictions.probabilities >= 0.5
    assert report["accuracy"] == pytest.approx((truth == found).all(axis=1).mean())
    assert report["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert report["micro_f1"] == pytest.approx(f1_score(truth, found, average="micro"))
    assert report["micro_f1_interval"][0] < report["micro_f1"] < report["micro_f1_interval"][1]
    for place, label in enumerate(CLASSES):
        own = truth[:, place], found[:, place]
        assert report["classes"][label]["precision"] == pytest.approx(precision_score(*own))
        assert report["classes"][label]["recall"] == pytest.approx(recall_score(*own))
    assert report["promises"]["warm"]["threshold"] is None
    assert report["reliability"]["given_count"] == 0


def test_a_set_is_as_confident_as_all_its_labels_together() -> None:
    predictions = predict_sets(np.array(["a"]), np.array([EMPTY]), CLASSES, np.array([[0.2, 0.9]]))
    assert predictions.predicted.tolist() == ["warm"]
    assert predictions.confidence.tolist() == pytest.approx([0.8 * 0.9])
    assert predictions.by_set.confidence.tolist() == pytest.approx([0.8 * 0.9])
    softened = soften_sets(predictions, {"dark": 1.0, "warm": 2.0})
    assert softened.probabilities.tolist() == [pytest.approx([0.2, 0.75])]


def test_a_wrong_set_is_compared_with_the_most_probable_other_one() -> None:
    shares = np.array([[0.9, 0.8], [0.9, 0.4], [0.9, 0.8]])
    labels = np.array(["dark;warm", "dark;warm", EMPTY], object)
    by_set = predict_sets(np.array(["a", "b", "c"]), labels, CLASSES, shares).by_set
    own = by_set.probabilities[np.arange(3), by_set.label_index]
    assert own.tolist() == pytest.approx([0.72, 0.36, 0.02])
    others = by_set.probabilities.copy()
    others[np.arange(3), by_set.label_index] = -1
    assert by_set.class_of(others.argmax(axis=1)).tolist() in (
        ["dark", "dark", "dark;warm"],
        ["warm", "dark", "dark;warm"],
    )


def test_levels_of_sets_are_read_as_they_were_written() -> None:
    levels = draw_predictions(20), draw_predictions(10, 1)
    for level, found in zip(levels, levels_of(table_of_levels(levels)), strict=True):
        assert isinstance(found, SetPredictions)
        assert found.confidence.tolist() == level.confidence.tolist()


def test_the_gate_judges_answers_labels_and_whole_sets() -> None:
    good = draw_predictions(400)
    flipped = predict_sets(good.image_ids, good.labels, CLASSES, good.probabilities.copy() * [1, 0.01])
    ours, theirs = make_candidate(good), make_candidate(flipped, "old")
    assert judge_accuracy(ours, 0.8).passed
    assert judge_calibration(ours, None, 0.05).passed
    assert judge_improvement(ours, theirs).passed
    assert judge_classes(ours, theirs, 0.5).passed
    worse = judge_classes(theirs, ours, 0.5)
    assert not worse.passed
    assert "recall of warm 0.00" in worse.message
    assert "recall of warm fell" in worse.message
    assert judge_vanished(ours, None, []).passed
    only = predict_sets(good.image_ids, good.labels, ("dark",), good.probabilities[:, :1])
    assert "cannot predict warm" in judge_vanished(make_candidate(only), ours, []).message
    assert not judge_calibration(theirs, ours, 0.05).passed
