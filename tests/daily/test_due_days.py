"""Due days: the deadline, its time zone, quiet days, and what counts as missing."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from pipeline.daily.due_days import DueDays, QuietDays, find_missing, parse_quiet_days

MONDAY = date(2026, 11, 30)


def make(zone: str = "UTC", start: date = date(2026, 1, 1), quiet: str = "", deadline: time = time(9)) -> DueDays:
    return DueDays(start, deadline, ZoneInfo(zone), parse_quiet_days(quiet))


def days(*numbers: int) -> list[date]:
    return [date(2026, 11, number) for number in numbers]


def test_a_day_is_due_at_the_deadline_of_the_next_day() -> None:
    assert make().list_due(datetime(2026, 11, 30, 8, 59, tzinfo=UTC))[-1] == date(2026, 11, 28)
    assert make().list_due(datetime(2026, 11, 30, 9, 0, tzinfo=UTC)) == days(23, 24, 25, 26, 27, 28, 29)


@pytest.mark.parametrize(
    ("zone", "hour", "newest"),
    [("Asia/Tokyo", 0, 29), ("Asia/Tokyo", 23, 29), ("America/Los_Angeles", 16, 28), ("America/Los_Angeles", 17, 29)],
)
def test_the_deadline_is_in_the_time_zone(zone: str, hour: int, newest: int) -> None:
    assert make(zone).list_due(datetime(2026, 11, 30, hour, tzinfo=UTC))[-1] == date(2026, 11, newest)


def test_a_night_in_which_the_clock_changes_has_its_deadline() -> None:
    berlin = make("Europe/Berlin", deadline=time(2, 30))
    assert berlin.deadline_of(date(2026, 10, 24)).astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert berlin.deadline_of(date(2027, 3, 27)).astimezone(UTC) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


def test_nothing_is_due_on_quiet_days_and_before_the_start() -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert make(quiet="Sat,sunday 2026-11-26").list_due(noon) == days(23, 24, 25, 27)
    assert make(start=date(2026, 11, 28)).list_due(noon) == days(28, 29)
    assert make(quiet="mon tue wed thu fri sat sun").list_due(noon) == []


def test_a_backfill_of_an_old_day_leaves_yesterday_missing() -> None:
    due = days(27, 28, 29)
    assert find_missing(due, days(27, 28)) == days(29)
    assert find_missing(due, {date(2026, 3, 1)}) == days(29)
    assert find_missing(due, days(27, 29)) == days(28)
    assert find_missing(due, days(28, 29)) == [], "Daylight began on the 28th"
    assert find_missing(due, due) == find_missing([], due) == []


def test_quiet_days_are_weekdays_and_days() -> None:
    assert parse_quiet_days(" SAT, sunday;".rstrip(";")) == QuietDays(frozenset({5, 6}))
    assert MONDAY in parse_quiet_days("Mon")
    assert MONDAY in parse_quiet_days("2026-11-30")
    assert MONDAY not in parse_quiet_days("")
    for wrong in ("holidays", "su", "2026-02-30", "30.11.2026"):
        with pytest.raises(ValueError, match="no weekday and no day"):
            parse_quiet_days(wrong)
