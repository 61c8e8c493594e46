"""Late files: a sensor that runs a day again where files came after it was answered, that day and no other."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from assets.daily import daily
from pipeline.images.late_files import FACTS, Arrivals, compare_files
from pipeline.storage.files import list_files
from resources.lake.lake import Lake
from resources.landing import LandingError, LandingZone

WATCHED_DAYS: Final = 14
"""Before today, whose files are not late."""

SECONDS: Final = 120


@dg.sensor(job=daily, minimum_interval_seconds=SECONDS)
def late_files(context: dg.SensorEvaluationContext, lake: Lake, landing_zone: LandingZone) -> dg.SensorResult:
    """Runs a day of the last two weeks again, once its late files have lain unchanged from one tick to the next.

    A day of which files were removed since is left as it is, for their answers would go.
    """
    late = {}
    for day in _recent_days(lake):
        arrivals = _compare(day, lake, landing_zone)
        if arrivals.late and arrivals.gone:
            context.log.warning(_tell_gone(day, arrivals))
        elif arrivals.late:
            late[day] = arrivals
    before = json.loads(context.cursor or "{}")
    settled = [day for day, arrivals in late.items() if before.get(day) == arrivals.digest]
    return dg.SensorResult(
        run_requests=[_request(day, late[day]) for day in settled],
        skip_reason=None if settled else f"days with late files that have not settled: {len(late)}",
        cursor=json.dumps({day: arrivals.digest for day, arrivals in late.items()}),
    )


def _recent_days(lake: Lake) -> list[str]:
    """Those that were read before."""
    today = datetime.now(UTC).date()
    return lake.list_written("images", [str(today - timedelta(days=ago)) for ago in range(1, WATCHED_DAYS + 1)])


def _compare(day: str, lake: Lake, landing_zone: LandingZone) -> Arrivals:
    stored = lake.read_arrow("images", day, FACTS)
    try:
        (folder,) = landing_zone.day_folders([day]).values()
        return compare_files(list_files(folder), stored)
    except LandingError:
        return compare_files(stored.slice(0, 0), stored)  # a folder that was cleared away has no late files


def _request(day: str, arrivals: Arrivals) -> dg.RunRequest:
    key = f"{day} {arrivals.digest}"
    return dg.RunRequest(run_key=key, partition_key=day, tags={"reason": f"late files: {len(arrivals.late)}"})


def _tell_gone(day: str, arrivals: Arrivals) -> str:
    return (
        f"{day} has {len(arrivals.late)} late files, and {len(arrivals.gone)} that were answered are gone, such as"
        f" {arrivals.gone[0]!r}: put these back, or run the day by hand, which drops their answers"
    )
