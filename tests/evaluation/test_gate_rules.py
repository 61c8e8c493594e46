"""Promotion: what every rule lets pass and what it refuses, with the words that say by how much."""

import numpy as np
import pytest

from pipeline.evaluation.gate_rules import (
    Candidate,
    judge_accuracy,
    judge_calibration,
    judge_classes,
    judge_costs,
    judge_holdout,
    judge_improvement,
    judge_vanished,
    judge_withdrawal,
)
from pipeline.evaluation.intervals import sign_test
from pipeline.evaluation.labelled_predictions import LabelledPredictions

CLASSES = ("apple", "pear", "plum")


def contestant(
    wrong: set[int] = frozenset(),
    version: str = "new",
    classes: tuple[str, ...] = CLASSES,
    sure: float = 0.95,
    **costs: float,
) -> Candidate:
    """Answers 120 pictures, 40 of each class, and errs at these."""
    labels = np.repeat(np.array(CLASSES, object), 40)
    predicted = np.array([classes[0] if label != classes[0] else classes[1] for label in labels], object)
    is_right = np.array([number not in wrong and labels[number] in classes for number in range(120)])
    predicted = np.where(is_right, labels, predicted)
    shares = np.full((120, len(classes)), (1 - sure) / (len(classes) - 1))
    shares[np.arange(120), [classes.index(each) for each in predicted]] = sure
    ids = np.array([f"{number:064}" for number in range(120)], object)
    answers = LabelledPredictions(ids, labels, predicted, classes, shares)
    return Candidate(version, answers, costs.get("megabytes", 10.0), costs.get("seconds", 0.01))


def test_the_first_candidate_is_held_against_nothing() -> None:
    for verdict in (judge_improvement(contestant(), None), judge_costs(contestant(), None, 1.5, 2)):
        assert verdict.passed
        assert "there is no classifier yet" in verdict.told


def test_accuracy_below_the_floor_is_refused_with_both_numbers() -> None:
    verdict = judge_accuracy(contestant(set(range(36))), 0.8)
    assert not verdict.passed
    assert verdict.told == "accuracy 0.700, floor 0.800"
    assert judge_accuracy(contestant(set(range(24))), 0.8).passed


def test_a_candidate_that_is_better_beyond_luck_passes() -> None:
    verdict = judge_improvement(contestant({0}), contestant({0, 1, 2, 3, 4, 5}, "old"))
    assert verdict.passed
    assert "5 gained, 0 lost" in verdict.told
    assert verdict.numbers["chance"] == pytest.approx(1 / 32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(set(), set()), ({1}, {2}), ({1, 2}, set()), (set(), {1, 2, 3, 4}), ({1, 2, 3}, {4, 5, 6, 7, 8})],
    ids=["equal", "as good", "worse", "better by four", "better by two of eight"],
)
def test_a_candidate_that_luck_could_have_made_is_refused(ours: set[int], theirs: set[int]) -> None:
    verdict = judge_improvement(contestant(ours), contestant(theirs, "old"))
    assert not verdict.passed
    assert f"{len(theirs - ours)} gained, {len(ours - theirs)} lost" in verdict.told


@pytest.mark.parametrize(("ours", "passed"), [(set(), True), ({1, 2}, True), ({1, 2, 3, 4, 5}, False)])
def test_an_equal_candidate_passes_where_somebody_said_so_and_a_worse_one_does_not(
    ours: set[int], passed: bool
) -> None:
    verdict = judge_improvement(contestant(ours), contestant(set(), "old"), is_equal_enough=True)
    assert verdict.passed == passed
    assert "accept_equal" in judge_improvement(contestant(ours), contestant(set(), "old")).told


def test_the_classifier_in_use_passes_as_its_own_candidate() -> None:
    assert judge_improvement(contestant({1}), contestant({1})).passed


def test_holdouts_without_a_common_picture_prove_nothing() -> None:
    old = contestant(set(range(100)), "old")
    moved = LabelledPredictions(old.answers.image_ids + "x", *list(vars(old.answers).values())[1:])
    verdict = judge_improvement(contestant(), Candidate("old", moved, 1, None))
    assert not verdict.passed
    assert "answered by both" in verdict.told


def test_a_holdout_that_was_replaced_is_no_measure_unless_somebody_meant_it() -> None:
    former = contestant(version="old").answers.sample_labels(50)
    assert len(former) == 50
    assert judge_holdout(contestant(), former, False).passed
    assert judge_holdout(contestant(), {}, False).passed, "the first candidate"
    strangers = {f"{image_id}x": label for image_id, label in former.items()}
    verdict = judge_holdout(contestant(), strangers, False)
    assert not verdict.passed
    assert "of 50 holdout pictures of the classifier in use 0 are still in the holdout" in verdict.told
    assert "new_holdout" in verdict.told
    assert judge_holdout(contestant(), strangers, True).passed


@pytest.mark.parametrize(("changed", "passed"), [(5, True), (6, False)])
def test_a_holdout_of_which_a_tenth_has_other_labels_is_no_measure(changed: int, passed: bool) -> None:
    former = contestant(version="old").answers.sample_labels(50)
    relabelled = {
        image_id: "other" if place < changed else label for place, (image_id, label) in enumerate(former.items())
    }
    assert judge_holdout(contestant(), relabelled, False).passed == passed


def test_the_sign_test_is_the_binomial_one() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(8, 2) == pytest.approx(56 / 1024)
    assert sign_test(3000, 2700) == pytest.approx(3.7e-5, rel=0.05)


def test_a_class_below_its_floor_is_refused_by_name() -> None:
    verdict = judge_classes(contestant(set(range(40, 65))), None, 0.5)
    assert not verdict.passed
    assert "pear 0.38 of 40 pictures, floor 0.50" in verdict.told
    assert judge_classes(contestant(set(range(40, 60))), None, 0.5).passed


def test_a_class_found_less_often_than_before_is_refused_even_above_its_floor() -> None:
    ours, theirs = contestant(set(range(80, 92))), contestant(set(range(0, 20)), "old")
    verdict = judge_classes(ours, theirs, 0.5)
    assert not verdict.passed
    assert "plum 0.70 after 1.00: 0 gained, 12 lost" in verdict.told
    assert judge_classes(contestant({80, 81}), theirs, 0.5).passed


def test_a_class_of_few_pictures_is_not_judged_and_that_is_said() -> None:
    few = contestant({0, 1, 2, 3, 4, 5, 6, 7})
    kept = np.r_[0:8, 40:120]
    answers = LabelledPredictions(
        *(getattr(few.answers, name)[kept] for name in ("image_ids", "labels", "predicted")),
        few.answers.classes,
        few.answers.probabilities[kept],
    )
    verdict = judge_classes(Candidate("new", answers, 1, None), None, 0.5)
    assert verdict.passed
    assert "1 classes have fewer than 10 pictures" in verdict.told


def test_a_class_that_vanished_is_refused_unless_it_was_retired() -> None:
    less = contestant(classes=("apple", "pear"))
    verdict = judge_vanished(less, contestant(version="old"), [])
    assert not verdict.passed
    assert "plum" in verdict.told
    assert judge_vanished(less, contestant(version="old"), ["plum"]).passed
    assert not judge_vanished(less, None, []).passed, "the holdout has it"


def test_confidence_that_says_too_much_is_refused() -> None:
    wrong = set(range(0, 120, 4))
    assert not judge_calibration(contestant(wrong, sure=0.99), 0.05).passed
    assert judge_calibration(contestant(wrong, sure=0.75), 0.05).passed


def test_a_small_error_that_chance_gives_too_is_let_pass() -> None:
    assert judge_calibration(contestant(set(range(0, 120, 5)), sure=0.75), 0.0).passed


@pytest.mark.parametrize(
    ("costs", "passed"),
    [({"megabytes": 25}, False), ({"seconds": 0.016}, False), ({"megabytes": 19, "seconds": 0.0149}, True)],
)
def test_a_graph_that_is_much_larger_or_slower_is_refused(costs: dict[str, float], passed: bool) -> None:
    assert judge_costs(contestant(**costs), contestant(version="old"), 1.5, 2).passed == passed


def test_what_was_withdrawn_does_not_return_by_itself() -> None:
    assert not judge_withdrawal(contestant(), True).passed
    assert judge_withdrawal(contestant(), False).passed
