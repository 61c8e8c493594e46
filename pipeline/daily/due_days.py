"""Due days: the days that should have predictions by now. It knows no clock and no Dagster."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

WATCHED_DAYS: Final = 7  # an older day that is missing was reported long ago
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHORT: Final = 3  # letters that identify a weekday


@dataclass(frozen=True)
class QuietDays:
    """Days on which no images are expected.

    Attributes:
        weekdays: numbers of weekdays, Monday is 0.
        dates: single days.
    """

    weekdays: frozenset[int] = frozenset()
    dates: frozenset[date] = frozenset()

    def __contains__(self, day: date) -> bool:
        """Whether no images are expected on the day."""
        return day.weekday() in self.weekdays or day in self.dates


@dataclass(frozen=True)
class DueDays:
    """When a day is due: at the deadline of the day after it.

    Attributes:
        start: first day of all.
        deadline: time of day in the time zone.
        time_zone: of the deadline and of the days.
        quiet: days that are never due.
    """

    start: date
    deadline: time
    time_zone: ZoneInfo
    quiet: QuietDays

    def list_due(self, now: datetime) -> list[date]:
        """Lists the days of the last week whose deadline has passed, in order."""
        today = now.astimezone(self.time_zone).date()
        days = [today - timedelta(days=ago) for ago in range(WATCHED_DAYS, 0, -1)]
        return [day for day in days if day >= self.start and day not in self.quiet and self.deadline_of(day) <= now]

    def is_over(self, day: date, now: datetime) -> bool:
        """Whether a day has ended in the time zone."""
        return now.astimezone(self.time_zone).date() > day

    def deadline_of(self, day: date) -> datetime:
        """The moment at which a day is due."""
        return datetime.combine(day + timedelta(days=1), self.deadline, self.time_zone)


def find_missing(due: list[date], predicted: Collection[date]) -> list[date]:
    """Finds the due days without predictions.

    Days before the first predicted one are not missing, for Daylight may not have been there yet. If no due day is
    predicted, the newest one is missing.
    """
    known = [day for day in due if day in predicted]
    return [day for day in due if day not in known and day > known[0]] if known else due[-1:]


def parse_quiet_days(text: str) -> QuietDays:
    """Parses weekdays and days (YYYY-MM-DD), separated by commas or spaces.

    Raises:
        ValueError: if a word is neither.
    """
    weekdays, dates = set(), set()
    for word in text.replace(",", " ").split():
        found = [name for name in WEEKDAYS if len(word) >= SHORT and name.startswith(word.lower())]
        if found:
            weekdays.add(WEEKDAYS.index(found[0]))
            continue
        try:
            dates.add(date.fromisoformat(word))
        except ValueError:
            raise ValueError(
                f"{word!r:.40} is no weekday and no day: write text such as Sat, Sun, 2026-12-25"
            ) from None
    return QuietDays(frozenset(weekdays), frozenset(dates))
