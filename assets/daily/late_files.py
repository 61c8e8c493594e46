"""Late files: a sensor that runs a day again when files arrive after its predictions."""

import json
import time
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg

from assets.daily import JOB
from pipeline.images.late_files import STORED, Arrivals, compare_files
from pipeline.storage.files import LISTING, list_files
from resources.instance.run_attempts import is_under_way
from resources.lake.lake import Lake
from resources.landing import LandingError, LandingZone
from resources.settings import Settings

WATCHED_DAYS: Final = 14  # before today; today's files are never late
ATTEMPTS: Final = 3  # runs requested for the same files
LISTING_SECONDS: Final = 20  # of a tick, which Dagster gives up after 60; the next one goes on from there


@dg.sensor(job_name=JOB, minimum_interval_seconds=120)
def late_files(
    context: dg.SensorEvaluationContext, lake: Lake, landing_zone: LandingZone, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult:
    """Runs a day of the last two weeks again once its late files are unchanged between two looks at it.

    A day whose run failed is requested again, three times in all. A day with removed files is not run again, because
    that would delete their predictions. A tick looks at as many days as it has time for.
    """
    state = json.loads(context.cursor or "{}")
    before, last = state.get("late", {}), state.get("last", "")
    today = datetime.now(ZoneInfo(settings.time_zone)).date()
    watched = [str(today - timedelta(days=ago)) for ago in range(1, WATCHED_DAYS + 1)]
    days = _rotate(lake.list_written("images", watched), last)
    late = {day: before[day] for day in days if day in before}
    requests, started = [], time.monotonic()
    for day in days:
        arrivals, last = compare_day(day, lake, landing_zone), day
        if arrivals.late and arrivals.gone:
            context.log.warning(
                f"{day} has {len(arrivals.late)} late files, but {len(arrivals.gone)} predicted files are missing, for"
                f" example {arrivals.gone[0]!r}: restore them, or run the day by hand, which deletes their predictions"
            )
        is_late = bool(arrivals.late and not arrivals.gone)
        if is_late and before.get(day) == arrivals.digest and (request := _request(context, day, arrivals)):
            requests.append(request)
        late.pop(day, None)
        late |= {day: arrivals.digest} if is_late else {}
        if time.monotonic() - started > LISTING_SECONDS:
            break
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else f"{len(late)} days have late files that may still change or whose run failed",
        cursor=json.dumps({"late": late, "last": last}),
    )


def _rotate(days: list[str], last: str) -> list[str]:
    """Orders days from the one after the last day looked at."""
    start = days.index(last) + 1 if last in days else 0
    return days[start:] + days[:start]


def compare_day(day: str, lake: Lake, landing_zone: LandingZone) -> Arrivals:
    """Compares the folder of a stored day with its rows."""
    stored = lake.read_arrow("images", day, STORED)
    try:
        (folder,) = landing_zone.day_folders([day]).values()
        return compare_files(list_files(folder) if folder else LISTING.empty_table(), stored)
    except LandingError:
        return compare_files(stored.slice(0, 0), stored)  # a deleted folder has no late files


def _request(context: dg.SensorEvaluationContext, day: str, arrivals: Arrivals) -> dg.RunRequest | None:
    """Requests the first attempt that was not launched; None while one is under way, and after the last."""
    for attempt in range(1, ATTEMPTS + 1):
        key = f"{day} {arrivals.digest}" + (f" attempt {attempt}" if attempt > 1 else "")
        launched = context.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
        if not launched:
            tags = {"reason": f"late files: {len(arrivals.late)}"}
            return dg.RunRequest(run_key=key, partition_key=day, tags=tags)
        if is_under_way(context.instance, launched[0]):
            return None
    context.log.warning(
        f"{day} failed {ATTEMPTS} times with the same late files: look at its runs, and launch it by hand"
    )
    return None
