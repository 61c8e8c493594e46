"""The outbox: each message once, retried with a back-off, given up at last, never lost."""

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.notify.message import Kind, Message, make_message
from resources.notify.outbox import ATTEMPTS, DELIVERED, KEPT, MAX_WAIT, UNDELIVERED, WAITING, Outbox

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "alerts")


def make(day: str = "2026-11-29", when: datetime = NOW) -> Message:
    return make_message(Kind.MISSING_DAY, (day,), title=f"{day}", what="?", when=when, cure="run it", page="http://x/y")


def test_the_id_depends_on_the_subject_alone() -> None:
    assert make().id == make(when=NOW + timedelta(hours=1)).id
    assert make().id != make("2026-11-28").id
    same = make_message(Kind.UNANSWERED_REVIEWS, ("2026-11-29",), title="", what="", when=NOW, cure="", page="")
    assert make().id != same.id


def test_a_message_is_enqueued_once_even_after_its_delivery(outbox: Outbox) -> None:
    assert outbox.put(make(), NOW)
    assert not outbox.put(make(), NOW)
    (parcel,) = outbox.list_due(NOW)
    outbox.record(parcel, None, NOW)
    assert not outbox.put(make(), NOW)
    assert outbox.list_due(NOW + MAX_WAIT * 2) == []
    assert [each.message for each in outbox.list_parcels(DELIVERED)] == [make()]


def _put(folder: Path) -> bool:
    return Outbox(folder).put(make(), NOW)


def test_of_processes_at_once_one_enqueues(outbox: Outbox) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.map(_put, [outbox.folder] * 16)) == 1


def test_a_failed_message_waits_longer_each_time_and_is_given_up_at_last(outbox: Outbox) -> None:
    outbox.put(make(), NOW)
    moment, waits = NOW, []
    for _ in range(ATTEMPTS):
        (parcel,) = outbox.list_due(moment)
        after = outbox.record(parcel, "HTTP 503", moment)
        waits.append(after.due - moment)
        assert after.state == UNDELIVERED or not outbox.list_due(moment)
        moment = after.due
    assert waits[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert max(waits) == MAX_WAIT
    assert timedelta(days=2) < moment - NOW < timedelta(days=4)
    (lost,) = outbox.list_parcels(UNDELIVERED)
    assert (lost.message, lost.reason, lost.attempts) == (make(), "HTTP 503", ATTEMPTS)
    assert outbox.list_parcels(WAITING) == []


def test_a_clock_set_back_delays_no_message(outbox: Outbox) -> None:
    outbox.put(make(), NOW)
    assert outbox.list_due(NOW - timedelta(hours=2))


def test_what_ended_is_forgotten_after_months_and_what_waits_never(outbox: Outbox) -> None:
    outbox.put(make("2026-11-28"), NOW)
    outbox.put(make("2026-11-29"), NOW)
    outbox.record(outbox.list_due(NOW)[0], None, NOW)
    (outbox.folder / ".killed.draft").write_text("{")
    outbox.forget(NOW + KEPT)
    assert len(list(outbox.folder.glob("*.json"))) == 2
    outbox.forget(datetime.now(UTC) + KEPT + timedelta(days=400))
    assert len(outbox.list_parcels(WAITING)) == 1
    assert len(list(outbox.folder.iterdir())) == 1


def test_a_strange_file_stops_no_other_message(outbox: Outbox) -> None:
    outbox.put(make(), NOW)
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"message": {}}'), ("d", "")):
        (outbox.folder / f"{name}.json").write_text(text)
    assert [parcel.message for parcel in outbox.list_due(NOW)] == [make()]
