"""Day tags: how a run of Dagster names its day, or the first and the last of its days."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

PARTITION: Final = "dagster/partition"
FIRST: Final = "dagster/asset_partition_range_start"
LAST: Final = "dagster/asset_partition_range_end"
OPEN: Final = "daylight/open_day"  # of a run for a day that went on when it was requested


def tag_days(days: Sequence[str]) -> dict[str, str]:
    """Makes the tags of one run over all days from the first to the last; none for a job without days."""
    return {FIRST: days[0], LAST: days[-1]} if days else {}


def read_ends(tags: Mapping[str, str]) -> tuple[str, str]:
    """Reads the first and the last day of a run, YYYY-MM-DD; both empty if it has none."""
    first = tags.get(FIRST, tags.get(PARTITION, ""))
    return first, tags.get(LAST, first)


def list_range(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Lists the days of a run of many days; none if it has one day or none."""
    first, last = read_ends(tags)
    if first == last:
        return ()
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return tuple(str(start + timedelta(days=number)) for number in range((end - start).days + 1))
