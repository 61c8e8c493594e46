"""The group `daily`: assets with days, their job and schedules, and the sensors for late files and missing days."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg

from assets.declarations import define_all
from resources.question import Question
from resources.settings import Settings

JOB: Final = "daily"
JUDGED_BY_THE_CLOCK: Final = "every_due_day_has_predictions"  # a check that does not concern the days of a run
MORNING: Final = "15 4 * * *"


def make_every_morning(question: Question) -> dg.ScheduleDefinition:
    """Makes the schedule in the time zone of the settings."""
    zone = question.settings.time_zone

    @dg.schedule(
        name=question.word("every_morning"),
        job_name=question.word(JOB),
        cron_schedule=question.schedule or MORNING,
        execution_timezone=zone,
    )
    def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Predicts yesterday's images at 04:15."""
        today = context.scheduled_execution_time.astimezone(ZoneInfo(zone)).date()
        yesterday = (today - timedelta(days=1)).isoformat()
        return dg.RunRequest(run_key=yesterday, partition_key=yesterday)

    return every_morning


def build(question: Question, together: Sequence[Question] = ()) -> dg.Definitions:
    """Defines the assets, checks and job of a question, and its sensor for missing days.

    The job also predicts the questions that have no schedule of their own, in the same run and Spark session.
    """
    from assets.daily.missing_day import make_missing_day

    assets: dg.AssetSelection = dg.AssetSelection.groups(*(each.word(JOB) for each in (question, *together)))
    checks = [dg.AssetCheckKey(each.key("predictions"), JUDGED_BY_THE_CLOCK) for each in (question, *together)]
    if together:
        assets |= dg.AssetSelection.assets("daily_overview")
    job = dg.define_asset_job(
        question.word(JOB),
        assets - dg.AssetSelection.checks(*checks),
        description="Predicts one day, or many at once.",
    )
    has_schedule = question.schedule or not question.name
    own = dg.Definitions(
        jobs=[job],
        schedules=[make_every_morning(question)] if has_schedule else [],
        sensors=[make_missing_day(question)],
    )
    return dg.Definitions.merge(define_all(sys.modules[__name__], question), own)


def build_overview(own: Question, others: Sequence[Question]) -> dg.Definitions:
    """Defines the page about the classifiers that the job of the deployment predicts; nothing if there is one."""
    from assets.daily.daily_overview import make_daily_overview

    return dg.Definitions(assets=[make_daily_overview(own, others)] if others else [])


def build_watch(settings: Settings) -> dg.Definitions:
    """Defines what watches the landing zone, and launches the job of the deployment."""
    from assets.daily.late_files import late_files
    from assets.daily.open_day import make_through_the_day

    return dg.Definitions(schedules=[make_through_the_day(settings)], sensors=[late_files])
