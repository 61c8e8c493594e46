"""Rules of the gate: each passes and refuses candidates, with the numbers in its message."""

from dataclasses import replace

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


def make_candidate(
    wrong: set[int] = frozenset(),
    version: str = "new",
    classes: tuple[str, ...] = CLASSES,
    sure: float = 0.95,
    **costs: float,
) -> Candidate:
    """Predicts 120 images, 40 of each class, and is wrong on those given."""
    labels = np.repeat(np.array(CLASSES, object), 40)
    predicted = np.array([classes[0] if label != classes[0] else classes[1] for label in labels], object)
    is_right = np.array([number not in wrong and labels[number] in classes for number in range(120)])
    predicted = np.where(is_right, labels, predicted)
    shares = np.full((120, len(classes)), (1 - sure) / (len(classes) - 1))
    shares[np.arange(120), [classes.index(each) for each in predicted]] = sure
    ids = np.array([f"{number:064}" for number in range(120)], object)
    predictions = LabelledPredictions(ids, labels, predicted, classes, shares)
    return Candidate(version, predictions, costs.get("megabytes", 10.0), costs.get("seconds", 0.01))


def test_the_first_candidate_is_compared_with_nothing() -> None:
    for verdict in (judge_improvement(make_candidate(), None), judge_costs(make_candidate(), None, 1.5, 2)):
        assert verdict.passed
        assert "no classifier in use yet" in verdict.message


def test_accuracy_below_the_minimum_is_refused_with_both_numbers() -> None:
    verdict = judge_accuracy(make_candidate(set(range(36))), 0.8)
    assert not verdict.passed
    assert verdict.message == "accuracy 0.700, minimum 0.800"
    assert judge_accuracy(make_candidate(set(range(24))), 0.8).passed


def test_a_significantly_better_candidate_passes() -> None:
    verdict = judge_improvement(make_candidate({0}), make_candidate({0, 1, 2, 3, 4, 5}, "old"))
    assert verdict.passed
    assert "5 fixed, 0 broken" in verdict.message
    assert verdict.numbers["p_value"] == pytest.approx(1 / 32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(set(), set()), ({1}, {2}), ({1, 2}, set()), (set(), {1, 2, 3, 4}), ({1, 2, 3}, {4, 5, 6, 7, 8})],
    ids=["equal", "as good", "worse", "better by four", "better by two of eight"],
)
def test_a_candidate_that_is_not_significantly_better_is_refused(ours: set[int], theirs: set[int]) -> None:
    verdict = judge_improvement(make_candidate(ours), make_candidate(theirs, "old"))
    assert not verdict.passed
    assert f"{len(theirs - ours)} fixed, {len(ours - theirs)} broken" in verdict.message


@pytest.mark.parametrize(("ours", "passed"), [(set(), True), ({1, 2}, True), ({1, 2, 3, 4, 5}, False)])
def test_with_accept_equal_an_equal_candidate_passes_and_a_worse_one_does_not(ours: set[int], passed: bool) -> None:
    verdict = judge_improvement(make_candidate(ours), make_candidate(set(), "old"), accept_equal=True)
    assert verdict.passed == passed
    assert "accept_equal" in judge_improvement(make_candidate(ours), make_candidate(set(), "old")).message


def test_the_classifier_in_use_passes_as_its_own_candidate() -> None:
    assert judge_improvement(make_candidate({1}), make_candidate({1})).passed


def test_holdouts_without_a_common_image_are_refused() -> None:
    old = make_candidate(set(range(100)), "old")
    moved = LabelledPredictions(old.predictions.image_ids + "x", *list(vars(old.predictions).values())[1:])
    verdict = judge_improvement(make_candidate(), Candidate("old", moved, 1, None))
    assert not verdict.passed
    assert "predictions of both" in verdict.message


def test_a_replaced_holdout_is_refused_without_new_holdout() -> None:
    former = make_candidate(version="old").predictions.sample_labels(50)
    assert len(former) == 50
    assert judge_holdout(make_candidate(), former, False).passed
    assert judge_holdout(make_candidate(), {}, False).passed, "the first candidate"
    others = {f"{image_id}x": label for image_id, label in former.items()}
    verdict = judge_holdout(make_candidate(), others, False)
    assert not verdict.passed
    assert "0 of 50 sampled holdout images of the classifier in use are still in the holdout" in verdict.message
    assert "new_holdout" in verdict.message
    assert judge_holdout(make_candidate(), others, True).passed


@pytest.mark.parametrize(("changed", "passed"), [(5, True), (6, False)])
def test_a_holdout_with_more_than_a_tenth_relabelled_is_refused(changed: int, passed: bool) -> None:
    former = make_candidate(version="old").predictions.sample_labels(50)
    relabelled = {
        image_id: "other" if place < changed else label for place, (image_id, label) in enumerate(former.items())
    }
    assert judge_holdout(make_candidate(), relabelled, False).passed == passed


def test_the_sign_test_is_the_binomial_one() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(8, 2) == pytest.approx(56 / 1024)
    assert sign_test(3000, 2700) == pytest.approx(3.7e-5, rel=0.05)


def test_a_class_below_the_minimum_recall_is_refused_by_name() -> None:
    verdict = judge_classes(make_candidate(set(range(40, 65))), None, 0.5)
    assert not verdict.passed
    assert "recall of pear 0.38 on 40 images, minimum 0.50" in verdict.message
    assert judge_classes(make_candidate(set(range(40, 60))), None, 0.5).passed


def test_a_class_whose_recall_fell_is_refused_even_above_the_minimum() -> None:
    ours, theirs = make_candidate(set(range(80, 92))), make_candidate(set(range(0, 20)), "old")
    verdict = judge_classes(ours, theirs, 0.5)
    assert not verdict.passed
    assert "recall of plum fell from 1.00 to 0.70: 0 fixed, 12 broken" in verdict.message
    assert judge_classes(make_candidate({80, 81}), theirs, 0.5).passed


def test_a_class_of_few_images_is_not_judged_and_the_message_says_so() -> None:
    few = make_candidate({0, 1, 2, 3, 4, 5, 6, 7})
    kept = np.r_[0:8, 40:120]
    predictions = LabelledPredictions(
        *(getattr(few.predictions, name)[kept] for name in ("image_ids", "labels", "predicted")),
        few.predictions.classes,
        few.predictions.probabilities[kept],
    )
    verdict = judge_classes(Candidate("new", predictions, 1, None), None, 0.5)
    assert verdict.passed
    assert "1 classes have fewer than 10 images" in verdict.message


def test_a_missing_class_is_refused_unless_retired() -> None:
    less = make_candidate(classes=("apple", "pear"))
    verdict = judge_vanished(less, make_candidate(version="old"), [])
    assert not verdict.passed
    assert "plum" in verdict.message
    assert judge_vanished(less, make_candidate(version="old"), ["plum"]).passed
    assert not judge_vanished(less, None, []).passed, "the holdout has it"


def test_a_label_of_the_holdout_alone_is_refused_with_a_cure_for_a_first_training() -> None:
    less = make_candidate(classes=("apple", "pear"))
    message = judge_vanished(less, None, []).message
    assert message.startswith("the candidate cannot predict plum, since all usable images of them are in the holdout")
    assert "retired" not in message, "nobody retires a label at the first training"
    both = judge_vanished(less, make_candidate(version="old", classes=("apple", "fig")), [])
    assert both.message.startswith("the candidate cannot predict fig: add images of them, or list them in retired")
    assert both.numbers == {"missing": 2}


def test_only_some_of_many_missing_labels_are_named() -> None:
    many = tuple(f"c{number:03}" for number in range(300))
    old = replace(make_candidate(version="old").predictions, classes=(*CLASSES, *many))
    verdict = judge_vanished(make_candidate(), Candidate("old", old, 1, None), [])
    assert "c009 and 290 more labels: add images" in verdict.message
    assert verdict.numbers == {"missing": 300}


def test_a_low_accuracy_after_few_images_says_how_many_to_add() -> None:
    few, enough = (replace(make_candidate(set(range(36))), train_count=count) for count in (6, 30))
    assert judge_accuracy(few, 0.8).message == (
        "accuracy 0.700, minimum 0.800: it learned 3 labels from 6 images, 2.0 of each; add images until there are 10"
        " of each in the train split, or merge labels"
    )
    assert judge_accuracy(enough, 0.8).message == "accuracy 0.700, minimum 0.800"


def test_a_calibration_that_fails_on_a_tiny_holdout_says_so() -> None:
    one = make_candidate({0}, sure=1.0).predictions
    first = LabelledPredictions(
        one.image_ids[:1], one.labels[:1], one.predicted[:1], one.classes, one.probabilities[:1]
    )
    verdict = judge_calibration(Candidate("new", first, 1, None), make_candidate(set()), 0.05)
    assert not verdict.passed
    assert verdict.message.endswith("a holdout of 1 is too small to measure it, so add images")


def test_overconfidence_is_refused_where_the_classifier_in_use_has_less() -> None:
    wrong, present = set(range(0, 120, 4)), make_candidate(set(range(0, 120, 4)), sure=0.75)
    verdict = judge_calibration(make_candidate(wrong, sure=0.99), present, 0.05)
    assert (verdict.passed, verdict.refuses) == (False, True)
    assert judge_calibration(make_candidate(wrong, sure=0.75), present, 0.05).passed


def test_overconfidence_is_tolerated_without_a_better_classifier() -> None:
    candidate = make_candidate(set(range(0, 120, 4)), sure=0.99)
    for present in (None, candidate):
        verdict = judge_calibration(candidate, present, 0.05)
        assert (verdict.passed, verdict.refuses) == (False, False)
        assert "It is promoted all the same" in verdict.message


def test_a_calibration_error_within_chance_passes() -> None:
    assert judge_calibration(make_candidate(set(range(0, 120, 5)), sure=0.75), None, 0.0).passed


@pytest.mark.parametrize(
    ("costs", "passed"),
    [({"megabytes": 25}, False), ({"seconds": 0.016}, False), ({"megabytes": 19, "seconds": 0.0149}, True)],
)
def test_a_much_larger_or_slower_graph_is_refused(costs: dict[str, float], passed: bool) -> None:
    assert judge_costs(make_candidate(**costs), make_candidate(version="old"), 1.5, 2).passed == passed


def test_a_withdrawn_version_is_refused() -> None:
    assert not judge_withdrawal(make_candidate(), True).passed
    assert judge_withdrawal(make_candidate(), False).passed
