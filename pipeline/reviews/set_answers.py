"""Answers about sets of labels: what people said, as the text of a set."""

from typing import Final

import pyarrow as pa

from pipeline.images.label_sets import EMPTY, parse_set
from pipeline.images.places import LabelError
from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE, AnswerError
from pipeline.reviews.filled_forms import ReviewError

_KEPT: Final = (CANNOT_TELL, BAD_IMAGE)


def parse_set_answer(label: str) -> str:
    """Writes an answer as the text of a set: labels with semicolons between them, or `NONE` for none of them.

    Raises:
        AnswerError: if a label cannot be one of a set.
    """
    if label in _KEPT:
        return label
    try:
        return EMPTY if label == NONE else parse_set(label)
    except LabelError as error:
        raise AnswerError(str(error)) from error


def write_sets(answers: pa.Table) -> pa.Table:
    """Writes the labels of answers, in `filled_forms.COLUMNS`, as texts of sets.

    Raises:
        ReviewError: if one cannot be a set; it names the file and the line.
    """
    labels = []
    for row in answers.select(["file", "line", "label"]).to_pylist():
        try:
            labels.append(parse_set_answer(row["label"]))
        except AnswerError as error:
            raise ReviewError(f"{row['file']}, line {row['line']}: {error}") from error
    return answers.set_column(answers.column_names.index("label"), "label", pa.array(labels, pa.string()))
