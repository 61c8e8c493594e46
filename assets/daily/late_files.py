"""Late files: a sensor that runs a day again when files arrive after its predictions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from assets.daily import daily
from pipeline.images.late_files import STORED, Arrivals, compare_files
from pipeline.storage.files import list_files
from resources.lake.lake import Lake
from resources.landing import LandingError, LandingZone

WATCHED_DAYS: Final = 14  # before today; today's files are never late


@dg.sensor(job=daily, minimum_interval_seconds=120)
def late_files(context: dg.SensorEvaluationContext, lake: Lake, landing_zone: LandingZone) -> dg.SensorResult:
    """Runs a day of the last two weeks again once its late files are unchanged between two ticks.

    A day with removed files is not run again, because that would delete their predictions.
    """
    late = {}
    today = datetime.now(UTC).date()
    for day in lake.list_written("images", [str(today - timedelta(days=ago)) for ago in range(1, WATCHED_DAYS + 1)]):
        arrivals = _compare(day, lake, landing_zone)
        if arrivals.late and arrivals.gone:
            context.log.warning(
                f"{day} has {len(arrivals.late)} late files, but {len(arrivals.gone)} predicted files are missing, for"
                f" example {arrivals.gone[0]!r}: restore them, or run the day by hand, which deletes their predictions"
            )
        elif arrivals.late:
            late[day] = arrivals
    before = json.loads(context.cursor or "{}")
    settled = [day for day, arrivals in late.items() if before.get(day) == arrivals.digest]
    return dg.SensorResult(
        run_requests=[_request(day, late[day]) for day in settled],
        skip_reason=None if settled else f"{len(late)} days have late files that may still change",
        cursor=json.dumps({day: arrivals.digest for day, arrivals in late.items()}),
    )


def _compare(day: str, lake: Lake, landing_zone: LandingZone) -> Arrivals:
    stored = lake.read_arrow("images", day, STORED)
    try:
        (folder,) = landing_zone.day_folders([day]).values()
        return compare_files(list_files(folder), stored)
    except LandingError:
        return compare_files(stored.slice(0, 0), stored)  # a deleted folder has no late files


def _request(day: str, arrivals: Arrivals) -> dg.RunRequest:
    key = f"{day} {arrivals.digest}"
    return dg.RunRequest(run_key=key, partition_key=day, tags={"reason": f"late files: {len(arrivals.late)}"})
