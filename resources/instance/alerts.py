"""Alerts: puts messages, with their links into the UI, into the outbox of the instance."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg

from resources.instance.predicted_days import find_materialization
from resources.notify.message import Kind, make_message
from resources.notify.outbox import Outbox
from resources.settings import Settings

REPORT = dg.AssetKey("daily_report")


def open_outbox(instance: dg.DagsterInstance) -> Outbox:
    """Opens the outbox, beside the files of Dagster, where it works whatever happens to the lake."""
    return Outbox(Path(instance.storage_directory()) / "alerts")


@dataclass(frozen=True)
class Alerts:
    """Enqueues messages in the outbox; none while DAYLIGHT_NOTIFY is not set."""

    instance: dg.DagsterInstance
    settings: Settings

    def post(
        self,
        kind: Kind,
        subject: tuple[str, ...],
        *,
        title: str,
        what: str,
        when: datetime,
        cure: str,
        page: str,
        day: str = "",
    ) -> None:
        """Enqueues a message unless its subject was enqueued before; `page` is a path in the UI."""
        if self.settings.receiver is None:
            return
        link, report = f"{self.settings.ui_url}/{page}", self._find_report(day) if day else ""
        message = make_message(
            kind, subject, title=title, what=what, when=when, cure=cure, page=link, day=day, report=report
        )
        open_outbox(self.instance).put(message, when)

    def _find_report(self, day: str) -> str:
        record = find_materialization(self.instance, REPORT, day)
        event = record.asset_materialization if record else None
        page = event.metadata.get("page") if event else None
        return str(page.value) if page else ""


def default_status(settings: Settings) -> dg.DefaultSensorStatus:
    """The status of the sensors of alerts before anyone switches them in the UI."""
    return dg.DefaultSensorStatus.RUNNING if settings.receiver else dg.DefaultSensorStatus.STOPPED
