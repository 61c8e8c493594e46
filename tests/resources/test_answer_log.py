"""The log of answers: durable, only growing, and erased line by line under a server that goes on writing."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipeline.reviews.answer_files import FOLDER, read_answers
from pipeline.reviews.answers import Answer, Key
from resources.review.answer_log import AnswerLog, erase_answers

NOW, DAY = datetime(2026, 11, 30, 9, tzinfo=UTC), date(2026, 11, 27)


def answer(name: str, label: str | None = "apple") -> Answer:
    return Answer(Key(DAY, name * 64), label, "anna", NOW, f"{name} {label}")


def stored(lake: Path) -> list[Answer]:
    return read_answers(str(lake)).standing()


def test_a_server_without_answers_leaves_no_file(tmp_path: Path) -> None:
    AnswerLog(str(tmp_path)).close()
    assert not (tmp_path / FOLDER).exists()


def test_every_action_is_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, sync = [], os.fsync
    monkeypatch.setattr("resources.review.answer_log.os.fsync", lambda file: (synced.append(file), sync(file)))
    log = AnswerLog(str(tmp_path))
    log.append([answer("a"), answer("b")])
    assert len(synced) == 3, "the folder of the lake, the folder of the answers, the file"
    log.append([answer("c")])
    assert len(synced) == 4
    log.close()
    assert stored(tmp_path) == [answer("a"), answer("b"), answer("c")]


def test_two_servers_write_two_files(tmp_path: Path) -> None:
    logs = [AnswerLog(str(tmp_path)) for _ in range(2)]
    for log, name in zip(logs, "ab", strict=True):
        log.append([answer(name)])
        log.close()
    assert len(list((tmp_path / FOLDER).iterdir())) == 2
    assert {each.key.image_id[0] for each in stored(tmp_path)} == {"a", "b"}


def test_an_erased_image_leaves_no_trace_while_the_server_goes_on(tmp_path: Path) -> None:
    log = AnswerLog(str(tmp_path))
    log.append([answer("a"), answer("b"), answer("a", None), answer("a", "pear")])
    (file,) = (tmp_path / FOLDER).iterdir()
    assert erase_answers(str(tmp_path), "a" * 64) == [f"{FOLDER}/{file.name}"]
    log.append([answer("c")])
    log.close()
    assert stored(tmp_path) == [answer("b"), answer("c")]
    assert b"a" * 64 not in file.read_bytes()
    assert erase_answers(str(tmp_path), "a" * 64) == []


def test_a_lake_without_answers_has_nothing_to_erase(tmp_path: Path) -> None:
    assert erase_answers(str(tmp_path), "a" * 64) == []
