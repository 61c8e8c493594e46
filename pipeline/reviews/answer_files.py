"""Files of answers: what the review page stored in the lake, as answers and as rows that `reviews` reads."""

from collections.abc import Iterable

import pyarrow as pa

from pipeline.reviews.answers import Answer, AnswerBook, AnswerError, parse_lines
from pipeline.reviews.filled_forms import COLUMNS
from pipeline.storage.files import list_files, open_folder

FOLDER = "review_answers"  # below the lake
ORIGIN = "review page"


def read_answers(lake: str) -> AnswerBook:
    """Reads all answers of a lake, in the order in which they were given; the driver holds about a kilobyte of each.

    Raises:
        AnswerError: if a file is damaged; the message names it.
    """
    folder = f"{lake}/{FOLDER}"
    filesystem, _ = open_folder(folder)
    answers: list[Answer] = []
    try:
        files = list_files(folder).to_pylist()
    except FileNotFoundError:
        return AnswerBook()
    for file in files:
        if file["path"].endswith(".jsonl"):
            with filesystem.open_input_stream(file["location"]) as stream:
                content = bytes(stream.read())
            try:
                answers += parse_lines(content)
            except AnswerError as error:
                raise AnswerError(f"{folder}/{file['path']}: {error}") from error
    return AnswerBook(sorted(answers, key=lambda answer: answer.at))


def tabulate(answers: Iterable[Answer]) -> pa.Table:
    """Writes answers as lines of a filled form, in `filled_forms.COLUMNS`; a labelled image has the day null."""
    rows = [
        {
            "file": ORIGIN,
            "line": number,
            "days": [answer.key.day],
            "image_id": answer.key.image_id,
            "label": answer.label,
            "form_label": answer.predicted_label,
            "form_classifier": answer.classifier,
            "reviewer": answer.reviewer,
            "answered_at": answer.at,
        }
        for number, answer in enumerate(answers)
    ]
    return pa.Table.from_pylist(rows, COLUMNS)
