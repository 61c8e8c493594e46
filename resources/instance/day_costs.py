"""Day costs: what the features of a day took, as their own page says; of a run over many days, the day's part."""

from typing import Any

import dagster as dg

from pipeline.daily.daily_report import DayCost


def find_cost(instance: dg.DagsterInstance, day: str, core_hour_dollars: float) -> DayCost | None:
    """What was noted when the features of a day were last made, or None where that was never, or is forgotten.

    Args:
        instance: that keeps the events.
        day: as YYYY-MM-DD.
        core_hour_dollars: price of one core for one hour, by which dollars are told in CPU-seconds.
    """
    key = dg.AssetRecordsFilter(dg.AssetKey("image_features"), asset_partitions=[day])
    for record in instance.fetch_materializations(key, limit=1).records:
        event = record.asset_materialization
        noted: dict[str, Any] = {name: value.value for name, value in event.metadata.items()} if event else {}
        if "embedded_count" not in noted:
            return None
        embedded, per_million = int(noted["embedded_count"]), noted.get("dollars_per_million")
        dollars = float(per_million) * embedded / 1e6 if per_million is not None else None
        seconds = dollars / core_hour_dollars * 3600 if dollars is not None else None
        return DayCost(embedded, int(noted["cache_hit_count"]), dollars, seconds)
    return None
