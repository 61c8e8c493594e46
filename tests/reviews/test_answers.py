"""Answers of the review page: which of them count, what undo leaves, and what a torn file loses."""

from datetime import UTC, date, datetime

import pytest

from pipeline.reviews.answers import (
    CANNOT_TELL,
    Answer,
    AnswerBook,
    AnswerError,
    Key,
    parse_key,
    parse_label,
    parse_lines,
    parse_name,
)

DAY, NOW = date(2026, 11, 27), datetime(2026, 11, 30, 9, tzinfo=UTC)
IMAGE, OTHER = Key(DAY, "a" * 64), Key(DAY, "b" * 64)


def answer(key: Key, label: str | None, reviewer: str = "anna", batch: str = "1", settles: bool = False) -> Answer:
    return Answer(key, label, reviewer, NOW, batch, "apple", "v1", settles)


def labels(book: AnswerBook, key: Key = IMAGE) -> dict[str, str | None]:
    return {name: each.label for name, each in book.of(key).items()}


def test_the_last_answer_of_a_reviewer_counts() -> None:
    assert labels(AnswerBook([answer(IMAGE, "apple"), answer(IMAGE, "pear", batch="2")])) == {"anna": "pear"}


def test_two_reviewers_never_overwrite_each_other_and_a_difference_is_listed() -> None:
    book = AnswerBook([answer(IMAGE, "apple"), answer(IMAGE, "pear", "ben"), answer(OTHER, "pear", "ben", "2")])
    assert labels(book) == {"anna": "apple", "ben": "pear"}
    assert book.disagreements().keys() == {IMAGE.image_id}


def test_an_image_on_two_days_with_two_labels_is_a_disagreement() -> None:
    tomorrow = Key(date(2026, 11, 28), IMAGE.image_id)
    assert AnswerBook([answer(IMAGE, "apple"), answer(tomorrow, "pear")]).disagreements()


def test_who_cannot_tell_contradicts_nobody() -> None:
    assert not AnswerBook([answer(IMAGE, "apple"), answer(IMAGE, CANNOT_TELL, "ben")]).disagreements()


def test_a_settling_answer_ends_all_earlier_ones() -> None:
    book = AnswerBook([answer(IMAGE, "apple"), answer(IMAGE, "pear", "ben")])
    book.add([answer(IMAGE, "pear", "carl", settles=True)])
    assert labels(book) == {"carl": "pear"}
    assert not book.disagreements()


def test_undo_takes_back_the_whole_last_action_and_restores_what_was_before() -> None:
    book = AnswerBook([answer(IMAGE, "apple", batch="1"), answer(IMAGE, "pear", batch="2")])
    book.add([answer(OTHER, "pear", batch="2")])
    book.add(book.undo("anna", NOW, "3"))
    assert (labels(book), labels(book, OTHER)) == ({"anna": "apple"}, {})
    book.add(book.undo("anna", NOW, "4"))
    assert labels(book) == {}
    assert book.undo("anna", NOW, "5") == []


def test_after_an_undo_the_next_answer_can_be_undone_and_then_the_one_before() -> None:
    book = AnswerBook([answer(IMAGE, "apple", batch="1"), answer(OTHER, "pear", batch="2")])
    book.add(book.undo("anna", NOW, "3"))
    book.add([answer(OTHER, "melon", batch="4")])
    book.add(book.undo("anna", NOW, "5"))
    assert (labels(book), labels(book, OTHER)) == ({"anna": "apple"}, {})
    book.add(book.undo("anna", NOW, "6"))
    assert labels(book) == {}


def test_nobody_undoes_the_answers_of_another() -> None:
    book = AnswerBook([answer(IMAGE, "apple")])
    assert book.undo("ben", NOW, "2") == []


def test_a_log_is_read_as_it_was_written_except_for_a_line_that_was_cut_off() -> None:
    given = [answer(IMAGE, "apple"), answer(Key(None, "c" * 64), 'ä "x"\u2028</script>', settles=True)]
    content = b"".join(each.to_line() for each in given)
    assert list(parse_lines(content)) == given
    for cut in range(1, len(given[1].to_line()) + 1):
        assert list(parse_lines(content[:-cut])) == given[:1]


def test_a_damaged_line_within_a_log_is_an_error() -> None:
    with pytest.raises(AnswerError, match="line 1 is no answer"):
        list(parse_lines(b'{"day": \n' + answer(IMAGE, "apple").to_line()))


@pytest.mark.parametrize("text", ["", "2026-11-27", "2026-13-27/" + "a" * 64, "../" + "a" * 64, "labelled/" + "A" * 64])
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_key(text)


def test_a_key_is_read_as_it_is_written() -> None:
    assert [parse_key(str(key)) for key in (IMAGE, Key(None, "c" * 64))] == [IMAGE, Key(None, "c" * 64)]


def test_labels_and_names_are_cleaned_and_hostile_ones_refused() -> None:
    assert (parse_label("  a\u0308pfel "), parse_name(" Anna ")) == ("äpfel", "Anna")
    for text in ("", "  ", "a\x00b", "a\u202eb", "x" * 201):
        with pytest.raises(AnswerError):
            parse_label(text)
        with pytest.raises(AnswerError):
            parse_name(text)
