"""Prices: what a core costs, so that pages can say what pictures cost."""

import dagster as dg
from pydantic import Field


class Prices(dg.ConfigurableResource):
    """What computing costs in this deployment."""

    core_hour_dollars: float = Field(
        default=0.05, gt=0, description="Price of one core for one hour (DAYLIGHT_CORE_HOUR_DOLLARS)."
    )
