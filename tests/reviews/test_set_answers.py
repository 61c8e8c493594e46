"""Answers about sets: from the page and from forms, as the text of a set."""

import pyarrow as pa
import pytest

from pipeline.images.label_sets import EMPTY
from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE, AnswerError
from pipeline.reviews.filled_forms import COLUMNS, ReviewError
from pipeline.reviews.set_answers import parse_set_answer, write_sets


@pytest.mark.parametrize(
    ("said", "text"),
    [("warm; dark", "dark;warm"), (NONE, EMPTY), (EMPTY, EMPTY), (CANNOT_TELL, CANNOT_TELL), (BAD_IMAGE, BAD_IMAGE)],
)
def test_an_answer_is_the_text_of_a_set(said: str, text: str) -> None:
    assert parse_set_answer(said) == text


def test_a_label_that_cannot_be_one_of_a_set_is_refused() -> None:
    with pytest.raises(AnswerError, match="'a/b' contains '/'"):
        parse_set_answer("a/b;dark")


def test_a_form_names_the_line_that_is_no_set() -> None:
    rows = [{"file": "form.csv", "line": 2, "label": "b;a"}, {"file": "form.csv", "line": 7, "label": "(maybe)"}]
    assert write_sets(pa.Table.from_pylist(rows[:1], COLUMNS))["label"].to_pylist() == ["a;b"]
    with pytest.raises(ReviewError, match=r"form.csv, line 7: '\(maybe\)' begins with a parenthesis"):
        write_sets(pa.Table.from_pylist(rows, COLUMNS))
