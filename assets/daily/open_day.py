"""The open day: a schedule that runs the day that goes on again and again, as its files arrive."""

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg

from assets.daily import JOB
from assets.daily.late_files import compare_day
from pipeline.storage.files import list_files
from resources.instance.day_tags import OPEN, PARTITION
from resources.instance.run_attempts import is_under_way
from resources.lake.lake import Lake
from resources.landing import LandingError, LandingZone
from resources.settings import Settings


def make_through_the_day(settings: Settings) -> dg.ScheduleDefinition:
    """Makes the schedule, at the interval and in the time zone of the settings."""
    cron = _write_cron(settings.open_day_minutes)

    @dg.schedule(job_name=JOB, cron_schedule=cron, execution_timezone=settings.time_zone)
    def through_the_day(
        context: dg.ScheduleEvaluationContext, lake: Lake, landing_zone: LandingZone
    ) -> dg.RunRequest | dg.SkipReason:
        """Predicts today's images so far, every DAYLIGHT_OPEN_DAY_MINUTES, if files have arrived since the last run.

        Decisions and confidences depend on the whole day: they are final in the first run after it has ended, such as
        that of `every_morning`. Until then, the day raises no alert.
        """
        now = context.scheduled_execution_time.astimezone(ZoneInfo(settings.time_zone))
        return _request(context.instance, now, lake, landing_zone)

    return through_the_day


def _request(
    instance: dg.DagsterInstance, now: datetime, lake: Lake, landing_zone: LandingZone
) -> dg.RunRequest | dg.SkipReason:
    day = str(now.date())
    newest = instance.get_runs(dg.RunsFilter(tags={PARTITION: day}), limit=1)
    if newest and is_under_way(instance, newest[0]):
        return dg.SkipReason(f"a run of {day} goes on")
    if lake.list_written("images", [day]):
        arrivals = compare_day(day, lake, landing_zone)
        if arrivals.gone:
            return dg.SkipReason(
                f"{len(arrivals.gone)} predicted files of {day} are gone, such as {arrivals.gone[0]!r}"
            )
        count = len(arrivals.late)
    else:
        count = _count_files(day, landing_zone)
    if not count:
        return dg.SkipReason(f"no new files of {day}")
    return dg.RunRequest(
        run_key=f"{day} {now:%H:%M}", partition_key=day, tags={OPEN: "true", "reason": f"new files: {count}"}
    )


def _count_files(day: str, landing_zone: LandingZone) -> int:
    try:
        (folder,) = landing_zone.day_folders([day]).values()
    except LandingError:
        return 0
    return list_files(folder).num_rows if folder else 0


def _write_cron(minutes: int) -> str:
    if minutes <= 60:
        return "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *"
