"""Alerts: the sensors that find what people should know, and deliver it. They start no Spark and no run."""

import dagster as dg

from assets.alerts.delivery import deliver_messages
from assets.alerts.ended_runs import report_ended_runs
from assets.alerts.unanswered_reviews import make_unanswered_reviews
from resources.instance.alerts import default_status
from resources.question import Question


def build(question: Question) -> dg.Definitions:
    """Collects the sensors; they are on where DAYLIGHT_NOTIFY is set. A further question has only one of its own."""
    status, unanswered = default_status(question.settings), make_unanswered_reviews(question)
    if question.name:
        return dg.Definitions(sensors=[unanswered])
    sensors = [
        dg.sensor(name="ended_runs", minimum_interval_seconds=30, default_status=status)(report_ended_runs),
        unanswered,
        dg.sensor(name="delivery", minimum_interval_seconds=30, default_status=status)(deliver_messages),
    ]
    return dg.Definitions(sensors=sensors)
