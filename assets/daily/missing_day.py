"""A missing day: a check and a sensor that compare the predicted days with those that are due."""

from datetime import UTC, date, datetime

import dagster as dg

from assets.declarations import declare_check
from pipeline.daily.due_days import find_missing
from resources.instance.alerts import Alerts, default_status
from resources.instance.cures import find_cure
from resources.instance.predicted_days import PREDICTIONS, describe_attempt, list_predicted
from resources.notify.message import Kind
from resources.question import Question
from resources.settings import Settings


@declare_check(asset="predictions")
def every_due_day_has_predictions(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Each day of the last week has predictions by DAYLIGHT_DEADLINE of the next day, whatever else ran since.

    DAYLIGHT_QUIET_DAYS are never due. The sensor `missing_day` repeats the check once a deadline has passed.
    """
    (check,) = context.selected_asset_check_keys
    missing = list_missing(context.instance, settings, datetime.now(UTC), check.asset_key)
    return dg.AssetCheckResult(passed=not missing, description=describe_missing(context.instance, settings, missing))


def make_missing_day(question: Question) -> dg.SensorDefinition:
    """Makes the sensor, which is on where DAYLIGHT_NOTIFY is set."""
    predictions = question.key("predictions")

    @dg.sensor(
        name=question.word("missing_day"),
        minimum_interval_seconds=60,
        default_status=default_status(question.settings),
    )
    def judge_due_days(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SensorResult:
        """Turns the check every_due_day_has_predictions red within a minute of the deadline, green once the day ran.

        Each missing day is one message to DAYLIGHT_NOTIFY.
        """
        missing = list_missing(context.instance, settings, datetime.now(UTC), predictions)
        for day in missing:
            report_missing(Alerts(context.instance, settings), day, predictions)
        state = ", ".join(map(str, missing)) or "none"
        if state == context.cursor:
            return dg.SensorResult(skip_reason=f"missing days: {state}, as before")
        evaluation = dg.AssetCheckEvaluation(
            asset_key=predictions,
            check_name=every_due_day_has_predictions.name,
            passed=not missing,
            description=describe_missing(context.instance, settings, missing),
        )
        return dg.SensorResult(asset_events=[evaluation], cursor=state, skip_reason=f"missing days: {state}")

    return judge_due_days


def report_missing(alerts: Alerts, day: date, predictions: dg.AssetKey) -> None:
    """Writes the message about a missing day."""
    due, attempt = alerts.settings.due_days.deadline_of(day), describe_attempt(alerts.instance, str(day))
    alerts.post(
        Kind.MISSING_DAY,
        (*predictions.path[:-1], str(day)),
        title=f"{day} has no {predictions.to_user_string()}",
        what=f"They were due at {due:%Y-%m-%d %H:%M} {alerts.settings.time_zone}; there was {attempt} for the day",
        when=due,
        day=str(day),
        cure=find_cure(every_due_day_has_predictions.name),
        page=f"assets/{predictions.to_user_string()}?view=partitions&partition={day}",
    )


def list_missing(
    instance: dg.DagsterInstance, settings: Settings, now: datetime, predictions: dg.AssetKey = PREDICTIONS
) -> list[date]:
    """Lists the due days without predictions."""
    due = settings.due_days.list_due(now)
    return find_missing(due, list_predicted(instance, due, predictions))


def describe_missing(instance: dg.DagsterInstance, settings: Settings, missing: list[date]) -> str:
    """Describes missing days in one sentence, with the cure."""
    if not missing:
        return "every due day has predictions"
    found = ", ".join(f"{day} ({describe_attempt(instance, str(day))})" for day in missing)
    return (
        f"no predictions by {settings.deadline} {settings.time_zone} of the next day: {found}. Launch the job daily for"
        " each; list days without images in DAYLIGHT_QUIET_DAYS"
    )
