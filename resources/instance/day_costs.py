"""Cost of embedding a day, as recorded when its features were last made; of a run over many days, the day's part."""

from typing import Any

import dagster as dg

from pipeline.daily.daily_report import DayCost


def find_cost(instance: dg.DagsterInstance, day: str, core_hour_dollars: float) -> DayCost | None:
    """Finds the recorded cost of a day (YYYY-MM-DD); None if its features were never made or their run was deleted."""
    key = dg.AssetRecordsFilter(dg.AssetKey("image_features"), asset_partitions=[day])
    records = instance.fetch_materializations(key, limit=1).records
    event = records[0].asset_materialization if records else None
    numbers: dict[str, Any] = {name: value.value for name, value in event.metadata.items()} if event else {}
    if "embedded_count" not in numbers:
        return None
    embedded, per_million = int(numbers["embedded_count"]), numbers.get("dollars_per_million")
    dollars = float(per_million) * embedded / 1e6 if per_million is not None else None
    seconds = dollars / core_hour_dollars * 3600 if dollars is not None else None
    return DayCost(embedded, int(numbers["cache_hit_count"]), dollars, seconds)
