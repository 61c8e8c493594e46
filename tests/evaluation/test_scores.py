import json

import numpy as np
import pytest

from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.intervals import interval_of_share
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.scores import confusion_table, evaluate, measure_reliability, score
from pipeline.reports.markdown import escape_markdown, markdown_table

COUNTS = {("apple", "apple"): 3, ("apple", "pear"): 1, ("pear", "pear"): 2, ("pear", "apple"): 2}


def test_scores_of_a_small_example() -> None:
    scored = score(COUNTS)
    assert scored.support == 8
    assert scored.accuracy == pytest.approx(5 / 8)
    apple, pear = scored.classes["apple"], scored.classes["pear"]
    assert (apple.precision, apple.recall, apple.support) == (pytest.approx(3 / 5), pytest.approx(3 / 4), 4)
    assert (pear.precision, pear.recall, pear.support) == (pytest.approx(2 / 3), pytest.approx(1 / 2), 4)
    assert apple.f1 == pytest.approx(2 / 3)
    assert pear.f1 == pytest.approx(4 / 7)
    assert scored.macro_f1 == pytest.approx((2 / 3 + 4 / 7) / 2)
    assert scored.confusion == {"apple": {"apple": 3, "pear": 1}, "pear": {"apple": 2, "pear": 2}}


def test_a_label_that_is_never_predicted_scores_zero_and_counts_in_the_mean() -> None:
    scored = score({("apple", "apple"): 1, ("pear", "apple"): 1})
    pear = scored.classes["pear"]
    assert (pear.precision, pear.recall, pear.f1, pear.support) == (0, 0, 0, 1)
    assert pear.precision_interval == (0, 1), "without predictions the interval is everything"
    assert scored.accuracy == 0.5
    assert scored.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scored.confusion == {"apple": {"apple": 1}, "pear": {"apple": 1}}


def test_a_predicted_label_that_is_never_true_scores_zero_and_counts_in_the_mean() -> None:
    scored = score({("apple", "apple"): 1, ("apple", "ghost"): 1})
    ghost = scored.classes["ghost"]
    assert (ghost.precision, ghost.recall, ghost.f1, ghost.support) == (0, 0, 0, 0)
    assert scored.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scored.confusion == {"apple": {"apple": 1, "ghost": 1}, "ghost": {}}


def test_all_wrong_scores_zero() -> None:
    scored = score({("apple", "pear"): 2, ("pear", "apple"): 2})
    assert (scored.accuracy, scored.macro_f1) == (0.0, 0.0)


@pytest.mark.parametrize("counts", [{}, {("apple", "apple"): 0}])
def test_no_counts_are_an_error(counts: dict[tuple[str, str], int]) -> None:
    with pytest.raises(ValueError, match="no holdout image"):
        score(counts)


CALIBRATION = Calibration(1.0, 0.7, 0.95, None, 0.0, 0)


def make_predictions(confidence: list[float], is_right: list[bool]) -> LabelledPredictions:
    """Predicts `yes` for images that are `yes` or `no`."""
    shares = np.array([[1 - share, share] for share in confidence])
    labels = np.array(["yes" if right else "no" for right in is_right], object)
    ids = np.array([f"{number:064}" for number in range(len(labels))], object)
    return LabelledPredictions(ids, labels, np.full(len(labels), "yes", object), ("no", "yes"), shares)


def test_every_share_has_the_interval_of_its_own_count() -> None:
    scored = score(COUNTS)
    assert scored.accuracy_interval == interval_of_share(5 / 8, 8)
    assert scored.classes["apple"].recall_interval == interval_of_share(3 / 4, 4)
    assert scored.classes["apple"].precision_interval == interval_of_share(3 / 5, 5)
    low, high = scored.macro_f1_interval
    assert low < scored.macro_f1 < high
    wide = high - low
    low, high = score({pair: 100 * count for pair, count in COUNTS.items()}).macro_f1_interval
    assert (high - low) == pytest.approx(wide / 10, rel=0.25), "a hundred times the images, a tenth of the width"


def test_predictions_that_reach_the_threshold_are_auto_accepted() -> None:
    found = evaluate(make_predictions([0.9, 0.8, 0.7, 0.6], [True, False, True, True]), CALIBRATION).reliability
    assert (found.given_count, found.coverage) == (3, 0.75)
    assert found.given_precision == pytest.approx(2 / 3)
    assert found.given_interval == interval_of_share(2 / 3, 3)


def test_without_a_threshold_nothing_is_auto_accepted() -> None:
    found = measure_reliability(np.array([0.9, 1.0]), np.array([True, True]), None)
    assert (found.given_count, found.coverage, found.given_precision) == (0, 0, None)
    assert found.given_interval == (0, 1)


def test_the_most_confident_errors_are_listed_first() -> None:
    found = evaluate(make_predictions([0.9, 0.8, 0.95, 0.6], [True, False, False, False]), CALIBRATION).mistakes
    assert [(each.confidence, each.label, each.predicted_label) for each in found] == [
        (0.95, "no", "yes"),
        (0.8, "no", "yes"),
        (0.6, "no", "yes"),
    ]


def test_no_predictions_are_an_error() -> None:
    with pytest.raises(ValueError, match="no holdout image"):
        evaluate(
            make_predictions([], []).__class__(*[np.empty(0, object)] * 3, ("no", "yes"), np.empty((0, 2))), CALIBRATION
        )


def test_an_evaluation_survives_json() -> None:
    values = evaluate(make_predictions([0.9, 0.8], [True, False]), CALIBRATION).to_dict()
    again = json.loads(json.dumps(values))
    assert again["accuracy"] == 0.5
    assert again["reliability"]["bins"] == values["reliability"]["bins"]
    assert again["mistakes"][0]["predicted_label"] == "yes"


def test_the_confusion_table_has_a_row_per_label_and_a_column_per_predicted_label() -> None:
    assert confusion_table(score({**COUNTS, ("apple", "plum"): 7}).confusion).splitlines() == [
        "| label ↓ predicted → | apple | pear | plum |",
        "| --- | --- | --- | --- |",
        "| apple | 3 | 1 | 7 |",
        "| pear | 2 | 2 | · |",
        "| plum | · | · | · |",
    ]


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        "a|b",
        "![x](http://evil.example/x.png)",
        "[x](javascript:y)",
        "`code`",
        "a\nb",
        "\\|",
    ],
)
def test_a_hostile_label_stays_one_harmless_cell(label: str) -> None:
    table = confusion_table(score({(label, label): 1, ("pear", label): 1}).confusion)
    header, rule, *rows = table.splitlines()
    assert len(rows) == 2
    assert {line.count("|") for line in (header, rule, *rows)} == {4}
    assert not set("<>![]()`\\:/&*\n") & set(escape_markdown(label))
    assert table.count(escape_markdown(label)) == 2


def test_labels_of_any_script_stay_readable_in_a_table() -> None:
    assert markdown_table(["label"], [["crème brûlée"], ["りんご"], [0.25]]).splitlines()[2:] == [
        "| crème brûlée |",
        "| りんご |",
        "| 0.25 |",
    ]
