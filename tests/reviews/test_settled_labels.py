"""Settled labels: what people decided about labelled images reaches the split, and nothing else does."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.daily import predictions
from pipeline.reviews import review_queue
from pipeline.reviews.answer_files import FOLDER, read_answers, tabulate
from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE, Answer, AnswerError, Key
from pipeline.reviews.reviewed_images import list_reviewed
from pipeline.reviews.reviews import match_answers
from pipeline.reviews.settled_labels import find_settled
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake

NOW, DAY = datetime(2026, 11, 30, 9, tzinfo=UTC), date(2026, 11, 27)


def answer(name: str, label: str, reviewer: str = "anna", day: date | None = None) -> Answer:
    return Answer(Key(day, name * 64), label, reviewer, NOW, f"{name} {reviewer}")


def store(lake: Path, *answers: Answer) -> None:
    folder = lake / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.jsonl").write_bytes(b"".join(each.to_line() for each in answers))


def test_a_label_is_kept_changed_or_dropped_and_a_disagreement_changes_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    store(tmp_path, answer("a", "apple"), answer("b", BAD_IMAGE), answer("c", NONE), answer("d", "pear"))
    store(tmp_path, answer("d", "apple", "ben"), answer("e", CANNOT_TELL), answer("f", "apple", day=DAY))
    answers = tabulate(read_answers(str(tmp_path)).standing())
    frames = (spark.createDataFrame([], parse_schema(each.SCHEMA)) for each in (predictions, review_queue))
    lake = Lake(root=str(tmp_path))
    lake.write("reviews", match_answers(answers, *frames), None)
    settled = find_settled(lake.read(spark, "reviews", None))
    assert settled is not None
    found = {row["image_id"][0]: row["settled_label"] for row in settled.collect()}
    assert found == {"a": "apple", "b": None, "c": None}
    assert list_reviewed(lake.read(spark, "reviews", None)).num_rows == 0, "labelled images are training rows already"


def test_a_lake_without_answers_has_none(tmp_path: Path) -> None:
    assert read_answers(str(tmp_path)).standing() == []


def test_a_damaged_file_of_answers_is_named(tmp_path: Path) -> None:
    store(tmp_path, answer("a", "apple"))
    (tmp_path / FOLDER / "bad.jsonl").write_bytes(b"{}\n")
    with pytest.raises(AnswerError, match=r"bad\.jsonl: line 1"):
        read_answers(str(tmp_path))
