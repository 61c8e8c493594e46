"""The gate: what a candidate must reach before it answers."""

import dagster as dg
from pydantic import Field

from pipeline.evaluation.gate_rules import Thresholds


class Gate(dg.ConfigurableResource):
    """Thresholds of the promotion."""

    accuracy_floor: float = Field(
        default=0.8, ge=0, le=1, description="Least accuracy on the holdout, 0 to 1 (DAYLIGHT_ACCURACY_FLOOR)."
    )
    recall_floor: float = Field(
        default=0.5, ge=0, le=1, description="Least share of every class that is found (DAYLIGHT_RECALL_FLOOR)."
    )
    max_calibration_error: float = Field(
        default=0.05, ge=0, le=1, description="Largest expected calibration error (DAYLIGHT_MAX_CALIBRATION_ERROR)."
    )
    max_slowdown: float = Field(
        default=1.5, gt=0, description="Most times as slow as the classifier in use (DAYLIGHT_MAX_SLOWDOWN)."
    )
    max_growth: float = Field(
        default=2.0, gt=0, description="Most times as large as the classifier in use (DAYLIGHT_MAX_GROWTH)."
    )

    @property
    def limits(self) -> Thresholds:
        """The same for the rules."""
        return Thresholds(
            accuracy=self.accuracy_floor,
            class_recall=self.recall_floor,
            calibration_error=self.max_calibration_error,
            slowdown=self.max_slowdown,
            growth=self.max_growth,
        )
