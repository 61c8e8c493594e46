"""The audit of a deployment: how many pictures of a day people look at, to tell the accuracy in production."""

import dagster as dg
from pydantic import Field

from pipeline.reviews.audit import AuditSize


class Audit(dg.ConfigurableResource):
    """The size of the random sample of every day."""

    share: float = Field(
        default=AuditSize.share, ge=0, le=1, description="Of the day's answered pictures (DAYLIGHT_AUDIT_SHARE)."
    )
    least: int = Field(default=AuditSize.least, ge=0, description="At least so many a day (DAYLIGHT_AUDIT_LEAST).")
    most: int = Field(default=AuditSize.most, ge=0, description="At most so many a day (DAYLIGHT_AUDIT_MOST).")

    @property
    def size(self) -> AuditSize:
        """As a plain value."""
        return AuditSize(self.share, self.least, self.most)
