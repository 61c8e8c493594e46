"""Limits of a deployment: what one file may take, and how many files of a day may be rejected."""

import dagster as dg
from pydantic import Field

from pipeline.embed.limits import DEFAULT_LIMITS, Limits


class FileLimits(dg.ConfigurableResource):
    """What becomes of files that are too much, and of days with too many of them."""

    max_bytes: int = Field(
        default=DEFAULT_LIMITS.bytes, gt=0, lt=2**31, description="A larger file is not read (DAYLIGHT_MAX_BYTES)."
    )
    max_pixels: int = Field(
        default=DEFAULT_LIMITS.pixels, gt=0, description="A larger picture is not decoded (DAYLIGHT_MAX_PIXELS)."
    )
    max_seconds: float = Field(
        default=DEFAULT_LIMITS.seconds,
        gt=0,
        description="A picture that takes longer to decode is given up (DAYLIGHT_MAX_SECONDS).",
    )
    max_memory_bytes: int = Field(
        default=DEFAULT_LIMITS.memory_bytes,
        gt=0,
        description="A picture that takes more memory is given up (DAYLIGHT_MAX_MEMORY_BYTES).",
    )
    max_rejected_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="A day with a larger share of rejected files is red (DAYLIGHT_MAX_REJECTED_SHARE).",
    )

    @property
    def of_a_file(self) -> Limits:
        """As a plain value."""
        return Limits(self.max_bytes, self.max_pixels, self.max_seconds, self.max_memory_bytes)
