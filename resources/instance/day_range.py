"""Tags of a run over many days; for jobs that are executed in this process."""

from collections.abc import Sequence


def tag_days(days: Sequence[str]) -> dict[str, str]:
    """Makes the tags of a run over all days from the first to the last; none for a job without days."""
    prefix = "dagster/asset_partition_range"
    return {f"{prefix}_start": days[0], f"{prefix}_end": days[-1]} if days else {}
