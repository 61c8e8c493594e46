"""Retention: for how many days what is kept that nothing is computed from any more."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field


class Retention(dg.ConfigurableResource):
    """Days that runs and the bytes of pictures are kept; 0 is for ever."""

    runs_days: int = Field(default=0, description="Of runs that no page needs (DAYLIGHT_KEEP_RUNS_DAYS).")
    pictures_days: int = Field(default=0, description="Of bytes in images (DAYLIGHT_KEEP_PICTURES_DAYS).")

    @property
    def runs_before(self) -> datetime | None:
        """The moment before which runs may go, or None."""
        return _days_ago(self.runs_days)

    @property
    def pictures_before(self) -> str | None:
        """The day before which bytes may go, or None."""
        moment = _days_ago(self.pictures_days)
        return moment.date().isoformat() if moment else None


def _days_ago(days: int) -> datetime | None:
    return datetime.now(UTC) - timedelta(days=days) if days else None
