"""The desk: a blind audit first, then the most useful image, groups of images alike, and what is enough."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from pipeline.reviews.answers import CANNOT_TELL, AnswerBook, AnswerError, Key
from pipeline.reviews.desk import AHEAD, MAX_BATCH, Desk, View
from pipeline.reviews.enough import STEP, measure_progress, pool_progress
from pipeline.reviews.items import AUDIT, LABEL_ISSUE, Item

DAY, NOW = date(2026, 11, 27), datetime(2026, 11, 30, 9, tzinfo=UTC)
LABELS = ["melon", "apple", "pear"]


def item(
    number: int, reason: str = "uncertain", label: str = "apple", share: float = 0.6, day: date | None = DAY
) -> Item:
    likely = ((label, share), ("melon" if label != "melon" else "pear", 1 - share))
    return Item(Key(day, f"{number:064x}"), f"{number}.jpg", reason, likely, label, "v1", rank=number, weight=1.0)


def load_features(keys: Sequence[Key]) -> np.ndarray:
    """Every ten images are one object."""
    numbers = [int(key.image_id, 16) // 10 for key in keys]
    return np.eye(64, dtype=np.float32)[np.array(numbers, int) % 64]


def desk_of(items: Sequence[Item]) -> Desk:
    return Desk(items, LABELS, AnswerBook(), load_features)


def answer(desk: Desk, keys: Sequence[Key], label: str = "apple", reviewer: str = "anna", second: int = 0) -> None:
    at = NOW + timedelta(seconds=second)
    desk.add(desk.answer(keys, label, reviewer, at, f"{reviewer} {second} {label}"))


def first_keys(desk: Desk, reviewer: str = "anna", **options: bool) -> list[str]:
    cards = desk.next_cards(View(reviewer, **options))
    return [image["key"] for card in cards for image in card["images"]]


def test_the_audit_comes_first_and_then_reasons_take_turns() -> None:
    items = [item(1), item(2), item(3, "novel"), item(4, LABEL_ISSUE, day=None), item(5, AUDIT), item(6, AUDIT)]
    order = first_keys(desk_of(items))
    assert set(order[:2]) == {str(each.key) for each in items[4:]}
    assert order[2:] == [str(items[place].key) for place in (0, 2, 3, 1)]


def test_neither_cards_nor_order_of_the_audit_depend_on_predictions() -> None:
    audit = [item(number, AUDIT, LABELS[number % 3], 0.3 + number / 100) for number in range(AHEAD)]
    other = [
        replace(each, likely=(("pear", 0.99),), predicted_label="pear", rank=-each.rank, note="x", classifier="v2")
        for each in audit
    ]
    cards, others = (desk_of(items).next_cards(View("anna", is_grouped=True)) for items in (audit, other[::-1]))
    assert json.dumps(cards) == json.dumps(others)
    cards, others = (desk_of(items).next_cards(View("anna")) for items in (audit, other[::-1]))
    assert json.dumps(cards) == json.dumps(others)
    assert [choice["label"] for choice in cards[0]["choices"]] == LABELS
    assert "probability" not in json.dumps(cards)


def test_images_of_the_audit_are_never_grouped() -> None:
    desk = desk_of([item(number, AUDIT) for number in range(10)])
    desk.prepare_groups()
    while cards := desk.next_cards(View("anna", is_grouped=True)):
        assert len(cards[0]["images"]) == 1
        answer(desk, [next(key for key in desk.items if str(key) == cards[0]["images"][0]["key"])])


def test_images_alike_are_one_group_and_what_is_left_of_it_comes_next() -> None:
    desk = desk_of([item(number) for number in range(20)])
    desk.prepare_groups()
    card = desk.next_cards(View("anna", is_grouped=True))[0]
    assert len(card["images"]) == 10
    assert [choice["label"] for choice in card["choices"]] == ["apple", "melon"]
    ticked = [key for key in desk.items if str(key) in {image["key"] for image in card["images"][:7]}]
    answer(desk, ticked)
    rest = desk.next_cards(View("anna", is_grouped=True))[0]
    assert [image["key"] for image in rest["images"]] == [image["key"] for image in card["images"][7:]]


def test_the_next_window_is_grouped_once_the_first_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reviews.desk.WINDOW", 10)
    desk = desk_of([item(number) for number in range(25)])
    desk.prepare_groups()
    sizes = []
    while cards := desk.next_cards(View("anna", is_grouped=True)):
        sizes.append(len(cards[0]["images"]))
        answer(desk, [key for key in desk.items if str(key) in {image["key"] for image in cards[0]["images"]}])
        if desk.take_done_window():
            assert not desk.take_done_window(), "only one caller groups the next window"
            desk.prepare_groups()
    assert sizes == [10, 10, 5]


def test_without_groups_one_image_of_each_group_comes_first() -> None:
    desk = desk_of([item(number) for number in range(20)])
    desk.prepare_groups()
    assert {int(key.split("/")[1], 16) // 10 for key in first_keys(desk)[:2]} == {0, 1}


def test_an_answered_image_is_done_for_all_unless_a_second_look_is_asked() -> None:
    desk = desk_of([item(1), item(2)])
    answer(desk, [item(1).key])
    assert first_keys(desk, "ben") == [str(item(2).key)]
    assert first_keys(desk, "ben", is_second=True) == [str(item(1).key), str(item(2).key)]
    assert first_keys(desk, "anna", is_second=True) == [str(item(2).key)]


def test_a_skipped_image_comes_last_and_only_for_who_skipped_it() -> None:
    desk = desk_of([item(1), item(2)])
    desk.skip([item(1).key], "anna")
    assert first_keys(desk) == [str(item(2).key), str(item(1).key)]
    assert first_keys(desk, "ben") == [str(item(1).key), str(item(2).key)]


def test_a_new_label_joins_the_list() -> None:
    desk = desk_of([item(1)])
    answer(desk, [item(1).key], "quince")
    assert desk.labels == [*LABELS, "quince"]


def test_the_rest_of_an_audit_comes_last_once_the_precision_is_known() -> None:
    desk = desk_of([item(number, AUDIT) for number in range(200)] + [item(500)])
    for second, each in enumerate([each for each in desk.items.values() if each.is_blind][:160]):
        answer(desk, [each.key], second=second)
    assert desk.progress()[str(DAY)].is_known
    assert first_keys(desk)[0] == str(item(500).key)


def test_the_estimate_moves_in_steps_so_that_no_single_answer_reveals_its_prediction() -> None:
    for count in range(1, STEP * 3):
        given = measure_progress([True] * count, 100)
        assert given.counted % STEP == 0
        assert given == measure_progress([True] * given.counted + [False] * (count - given.counted), 100)


def test_twenty_more_answers_narrow_the_interval_and_a_finished_audit_is_known() -> None:
    progress = measure_progress([True] * 36 + [False] * 4, 100)
    assert progress.share == pytest.approx(0.9)
    assert 0.05 < progress.next_reach < progress.reach < 0.1
    assert not progress.is_known
    assert measure_progress([True] * 10, 10).is_known


def test_several_days_count_by_their_images_and_narrow_the_estimate() -> None:
    right, half = measure_progress([True] * 10, 10), measure_progress([True] * 5 + [False] * 5, 10)
    pooled = pool_progress([(right, 300.0), (half, 100.0)])
    assert (pooled.share, pooled.counted, pooled.drawn_count) == (pytest.approx(0.875), 20, 20)
    assert pooled.next_reach < pooled.reach < half.reach
    assert pool_progress([(measure_progress([True] * 5, 10), 100.0)]).share is None


def test_who_cannot_tell_is_not_counted_as_wrong() -> None:
    desk = desk_of([item(number, AUDIT) for number in range(2)])
    answer(desk, [item(0).key], second=1)
    answer(desk, [item(1).key], CANNOT_TELL, second=2)
    progress = desk.progress()[str(DAY)]
    assert (progress.share, progress.is_known) == (1.0, True)


def test_an_answer_names_at_least_one_image_and_not_too_many() -> None:
    desk = desk_of([item(1)])
    for keys in ([], [Key(DAY, f"{number:064x}") for number in range(MAX_BATCH + 1)]):
        with pytest.raises(AnswerError):
            desk.answer(keys, "apple", "anna", NOW, "1")
