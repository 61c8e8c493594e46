"""Alerts: the sensors that find what people should know, and deliver it. They start no Spark and no run."""

import dagster as dg

from assets.alerts.delivery import deliver_messages
from assets.alerts.ended_runs import report_ended_runs
from assets.alerts.unanswered_reviews import report_unanswered_reviews
from resources.instance.alerts import default_status
from resources.settings import Settings


def build(settings: Settings) -> dg.Definitions:
    """Collects the sensors; they are on where DAYLIGHT_NOTIFY is set."""
    status = default_status(settings)
    sensors = [
        dg.sensor(name="ended_runs", minimum_interval_seconds=30, default_status=status)(report_ended_runs),
        dg.sensor(name="unanswered_reviews", minimum_interval_seconds=3600, default_status=status)(
            report_unanswered_reviews
        ),
        dg.sensor(name="delivery", minimum_interval_seconds=30, default_status=status)(deliver_messages),
    ]
    return dg.Definitions(sensors=sensors)
