"""Reviews join answers with stored predictions, and estimate the accuracy from the audit alone."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from conftest import make_frame
from pyspark.sql import DataFrame, Row, SparkSession

from pipeline.daily import predictions
from pipeline.reviews import review_queue
from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE
from pipeline.reviews.filled_forms import COLUMNS, NO_FORMS
from pipeline.reviews.reviews import (
    CONTRADICTORY,
    SCHEMA,
    UNKNOWN,
    describe_reviews,
    list_problems,
    match_answers,
)
from pipeline.storage.columns.schema import parse_schema

MONDAY, APRIL, MARCH = date(2026, 11, 16), date(2026, 4, 3), date(2026, 3, 4)
NOON, EVENING = (datetime(2026, 11, 30, hour, tzinfo=UTC) for hour in (12, 18))


def answer(image: str, label: str, file: str = "a.csv", **changes: object) -> dict:
    defaults = {"file": file, "line": ord(image), "days": [MONDAY], "form_label": "red", "form_classifier": "new"}
    return {**defaults, "image_id": image, "label": label, **changes}


ANSWERS = [
    answer("a", "red"),
    answer("b", "blue", form_label="RED"),
    answer("c", "blue", form_classifier="old", form_label="green"),
    answer("d", "red"),
    answer("d", "blue", "b.csv"),
    answer("e", "red"),
    answer("e", "blue", line=1000, days=[APRIL]),
    answer("f", "red"),
    answer("g", "red", days=[MARCH, APRIL]),
    answer("h", NONE),
    answer("i", "red", "b.csv"),
    answer("i", "red", "a.csv"),
    answer("j", "red"),
    answer("k", CANNOT_TELL),
    answer("k", "red", "page", reviewer="anna"),
    answer("l", CANNOT_TELL),
    answer("m", BAD_IMAGE),
    answer("o", "red", "page", reviewer="anna", days=[None]),
    answer("p", "red", "page", reviewer="anna", answered_at=NOON),
    answer("p", "blue", "page", reviewer="ben", line=1001, answered_at=EVENING),
]


@pytest.fixture(scope="module")
def queue(spark: SparkSession) -> DataFrame:
    """Queued images: `b`, `c`, `h` and two unanswered ones are in the audit."""
    queued = [
        ("a", "uncertain", None),
        ("b", "audit", 20.0),
        ("c", "uncertain", 20.0),
        ("h", "audit", 20.0),
        ("y", "audit", 20.0),
        ("z", "audit", 20.0),
    ]
    rows = [
        (MONDAY, image, f"{image}.jpg", "red", 0.9, reason, 0.8, weight, "new", [], None)
        for image, reason, weight in queued
    ]
    rows += [(APRIL, "n", "n.jpg", "red", 0.9, "audit", 0.8, 3.0, "new", [])]
    return make_frame(spark, rows, review_queue.SCHEMA)


@pytest.fixture(scope="module")
def matched(spark: SparkSession, queue: DataFrame) -> DataFrame:
    known = [(MONDAY, image) for image in "abcdehijklmp"] + [(APRIL, "e"), (APRIL, "g")]
    rows = [
        (day, image, path, "red", 0.9, None, "answered", None, "new", "backbone", [])
        for day, image in known
        for path in (f"{image} again.jpg", f"{image}.jpg")
    ]
    stored = make_frame(spark, rows, predictions.SCHEMA)
    return match_answers(pa.Table.from_pylist(ANSWERS, COLUMNS), stored, queue).cache()


@pytest.fixture(scope="module")
def rows(matched: DataFrame) -> dict[tuple[date, str], Row]:
    return {(row["day"], row["image_id"]): row for row in matched.collect()}


def test_every_answered_image_and_day_is_one_row(matched: DataFrame, rows: dict[tuple[date, str], Row]) -> None:
    assert rows.keys() == {(MONDAY, image) for image in "abcdefhijklmp"} | {(APRIL, "e"), (APRIL, "g"), (None, "o")}
    assert matched.count() == len(rows)
    assert matched.schema == parse_schema(SCHEMA)


def test_an_answer_is_joined_with_the_reason_for_review(rows: dict[tuple[date, str], Row]) -> None:
    row = rows[MONDAY, "a"]
    assert (row["label"], row["reason"], row["audit_weight"], row["origin"]) == ("red", "uncertain", None, "a.csv")
    assert (row["path"], row["problem"]) == ("a again.jpg", None)
    assert rows[MONDAY, "c"]["audit_weight"] == 20, "an uncertain image that was drawn belongs to the audit"
    assert (rows[MONDAY, "j"]["reason"], rows[MONDAY, "j"]["problem"]) == (None, None), "it was not queued, and is used"


def test_the_prediction_of_the_same_classifier_comes_from_the_lake(
    rows: dict[tuple[date, str], Row],
) -> None:
    assert (rows[MONDAY, "b"]["predicted_label"], rows[MONDAY, "b"]["classifier"]) == ("red", "new")


def test_running_a_day_again_does_not_change_a_reviewed_prediction(rows: dict[tuple[date, str], Row]) -> None:
    """The current classifier may be trained on this review."""
    assert (rows[MONDAY, "c"]["predicted_label"], rows[MONDAY, "c"]["classifier"]) == ("green", "old")


def test_two_labels_of_an_image_are_contradictory_across_files_and_days(
    rows: dict[tuple[date, str], Row],
) -> None:
    assert (rows[MONDAY, "d"]["label"], rows[MONDAY, "d"]["problem"]) == (None, CONTRADICTORY)
    assert rows[MONDAY, "d"]["origin"] == "a.csv, b.csv"
    assert [(rows[day, "e"]["label"], rows[day, "e"]["problem"]) for day in (MONDAY, APRIL)] == [
        (None, CONTRADICTORY)
    ] * 2


def test_equal_answers_in_two_files_are_one(rows: dict[tuple[date, str], Row]) -> None:
    row = rows[MONDAY, "i"]
    assert (row["label"], row["problem"], row["origin"]) == ("red", None, "a.csv")


def test_who_cannot_tell_contradicts_nobody_and_leaves_no_label(rows: dict[tuple[date, str], Row]) -> None:
    assert (rows[MONDAY, "k"]["label"], rows[MONDAY, "k"]["problem"]) == ("red", None)
    assert (rows[MONDAY, "l"]["label"], rows[MONDAY, "l"]["problem"]) == (None, "cannot tell")


def test_a_bad_image_is_neither_used_nor_counted_nor_a_warning(
    matched: DataFrame, rows: dict[tuple[date, str], Row]
) -> None:
    assert (rows[MONDAY, "m"]["label"], rows[MONDAY, "m"]["problem"]) == (None, "bad image")
    assert not any("bad image" in problem for problem in list_problems(matched))


def test_an_answer_about_a_labelled_image_has_no_day_and_is_used(rows: dict[tuple[date | None, str], Row]) -> None:
    assert (rows[None, "o"]["label"], rows[None, "o"]["problem"], rows[None, "o"]["reviewer"]) == ("red", None, "anna")


def test_a_disagreement_says_who_said_what_and_when(rows: dict[tuple[date, str], Row]) -> None:
    row = rows[MONDAY, "p"]
    assert (row["problem"], row["label"], row["reviewer"]) == (CONTRADICTORY, None, "anna, ben")
    assert row["disagreement"] == "anna: red; ben: blue"
    assert row["answered_at"].replace(tzinfo=None) == EVENING.replace(tzinfo=None)
    assert rows[MONDAY, "d"]["disagreement"] == "a.csv: red; b.csv: blue"
    assert rows[MONDAY, "a"]["disagreement"] is None


def test_an_image_without_a_prediction_is_reported_as_unknown(rows: dict[tuple[date, str], Row]) -> None:
    assert (rows[MONDAY, "f"]["problem"], rows[MONDAY, "f"]["path"]) == (UNKNOWN, None)


def test_an_ambiguous_day_is_the_one_with_the_image(rows: dict[tuple[date, str], Row]) -> None:
    assert rows[APRIL, "g"]["problem"] is None
    assert (MARCH, "g") not in rows


def test_the_accuracy_is_estimated_from_the_audit_alone(matched: DataFrame, queue: DataFrame) -> None:
    """`b`, `c` and `h` of the audit were answered, all against the classifier; `a`, `i` and `j` do not count."""
    report = describe_reviews(queue)(matched)
    numbers = {name: report.numbers[name] for name in ("production_accuracy", "audited_count", "response_share")}
    assert numbers == {"production_accuracy": 0.0, "audited_count": 3, "response_share": 3 / 5}
    assert (report.numbers["audited_day_count"], report.numbers["unanswered_day_count"]) == (1, 1)
    counts = {name: report.numbers[f"{name}_count"] for name in ("answer", "unknown", "contradictory", "set_aside")}
    assert counts == {"answer": 16, "unknown": 1, "contradictory": 4, "set_aside": 2}
    assert report.numbers["production_accuracy_low"] <= 0 < report.numbers["production_accuracy_high"] < 0.6
    assert report.tables["accuracy_by_day"].splitlines()[2].startswith("| 2026-11-16 | 100 | 5 | 3 | 0.0% |")
    versions = {line.split("|")[1].strip() for line in report.tables["accuracy_by_classifier"].splitlines()[2:]}
    assert versions == {"new", "old"}


def test_problems_are_described_with_a_file(matched: DataFrame) -> None:
    contradictory, unknown = list_problems(matched)
    assert contradictory == f"{CONTRADICTORY}: 4 answers, for example e of 2026-04-03 in 'a.csv'"
    assert unknown == f"{UNKNOWN}: 1 answers, for example f of 2026-11-16 in 'a.csv'"


def test_without_answers_there_are_no_rows_and_no_problems(spark: SparkSession, queue: DataFrame) -> None:
    none = match_answers(NO_FORMS.answers, spark.createDataFrame([], parse_schema(predictions.SCHEMA)), queue)
    assert none.collect() == list_problems(none) == []
