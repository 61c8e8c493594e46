"""Tags with which Dagster runs many days in one run; for jobs that are executed in this process."""

from collections.abc import Sequence


def tag_days(days: Sequence[str]) -> dict[str, str]:
    """Makes the tags of a run over all days from the first to the last; none for a job without days."""
    if not days:
        return {}
    return {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
