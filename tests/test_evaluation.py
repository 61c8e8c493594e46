import json

import pytest
from pyspark.sql import SparkSession

from pipeline.evaluation import ClassScore, Evaluation, confusion_table, evaluate, score
from pipeline.report import markdown_table, plain

COUNTS = {("apple", "apple"): 3, ("apple", "pear"): 1, ("pear", "pear"): 2, ("pear", "apple"): 2}


def test_scores_are_those_computed_by_hand() -> None:
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
    assert scored.classes["pear"] == ClassScore(precision=0.0, recall=0.0, f1=0.0, support=1)
    assert scored.accuracy == 0.5
    assert scored.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scored.confusion == {"apple": {"apple": 1}, "pear": {"apple": 1}}


def test_a_predicted_label_that_is_never_true_scores_zero_and_counts_in_the_mean() -> None:
    scored = score({("apple", "apple"): 1, ("apple", "ghost"): 1})
    assert scored.classes["ghost"] == ClassScore(precision=0.0, recall=0.0, f1=0.0, support=0)
    assert scored.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scored.confusion == {"apple": {"apple": 1, "ghost": 1}, "ghost": {}}


def test_all_wrong_is_zero_and_no_division_fails() -> None:
    scored = score({("apple", "pear"): 2, ("pear", "apple"): 2})
    assert (scored.accuracy, scored.macro_f1) == (0.0, 0.0)


@pytest.mark.parametrize("counts", [{}, {("apple", "apple"): 0}])
def test_nothing_to_score_is_an_error(counts: dict[tuple[str, str], int]) -> None:
    with pytest.raises(ValueError, match="no holdout picture"):
        score(counts)


def test_an_empty_frame_is_an_error(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="no holdout picture"):
        evaluate(spark.createDataFrame([], "label string, predicted_label string"))


def test_a_frame_scores_as_its_counts(spark: SparkSession) -> None:
    rows = [pair for pair, count in COUNTS.items() for _ in range(count)]
    frame = spark.createDataFrame(rows, "label string, predicted_label string").repartition(3)
    assert evaluate(frame) == score(COUNTS)


def test_an_evaluation_survives_json() -> None:
    told = json.loads(json.dumps(score(COUNTS).to_dict()))
    classes = {label: ClassScore(**each) for label, each in told.pop("classes").items()}
    assert Evaluation(**told, classes=classes) == score(COUNTS)


def test_the_confusion_table_has_a_row_per_label_and_a_column_per_answer() -> None:
    assert confusion_table(score({**COUNTS, ("apple", "plum"): 7}).confusion).splitlines() == [
        "| label ↓ answer → | apple | pear | plum |",
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
    assert not set("<>![]()`\\:/&*\n") & set(plain(label))
    assert table.count(plain(label)) == 2


def test_labels_of_any_script_stay_readable_in_a_table() -> None:
    assert markdown_table(["label"], [["crème brûlée"], ["りんご"], [0.25]]).splitlines()[2:] == [
        "| crème brûlée |",
        "| りんご |",
        "| 0.25 |",
    ]
