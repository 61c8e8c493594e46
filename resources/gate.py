"""The gate: what a candidate must reach before it answers."""

import dagster as dg
from pydantic import Field


class Gate(dg.ConfigurableResource):
    """Thresholds of the promotion."""

    accuracy_floor: float = Field(
        default=0.8, ge=0, le=1, description="Least accuracy on the holdout, 0 to 1 (DAYLIGHT_ACCURACY_FLOOR)."
    )
