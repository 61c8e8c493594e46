"""Embedding costs: the source of a day's features, the speed and the price, for the pages of assets."""

from collections.abc import Callable, Mapping
from functools import partial

from pyspark.sql import DataFrame

from pipeline.images.feature_cache import Embedded
from pipeline.images.features import describe_features
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Number, Report, join_reports
from pipeline.storage.counting import Day


def describe_embedded(embedded: Embedded, core_hour_dollars: float) -> Callable[[DataFrame], dict[Day, Report]]:
    """Like `describe_features`, with cache hits by day and the speed and cost of the whole run.

    Args:
        embedded: features of the run.
        core_hour_dollars: price of one core for one hour.
    """

    def describe(features: DataFrame) -> dict[Day, Report]:
        costs = partial(report_costs, embedded, core_hour_dollars=core_hour_dollars)
        return {day: join_reports(report, costs(day)) for day, report in describe_features(features).items()}

    return describe


def report_costs(embedded: Embedded, day: Day, core_hour_dollars: float) -> Report:
    """Cache hits of a day, or of None for a table without days, and the cost of the run."""
    sources = embedded.sources[day]
    numbers: dict[str, Number] = {
        "cache_hit_count": sources.hit_count,
        "cache_hit_share": sources.hit_count / (sources.hit_count + sources.miss_count),
        "embedded_count": sources.miss_count,
    }
    tables = {}
    if embedded.miss_count:
        cpu_seconds = sum(embedded.cpu_seconds.values())
        numbers["embedded_per_second"] = embedded.miss_count / embedded.embed_seconds
        numbers["cpu_seconds"] = cpu_seconds
        numbers["dollars_per_million"] = cpu_seconds / embedded.miss_count * 1e6 / 3600 * core_hour_dollars
        tables["cpu"] = _stage_table(embedded.cpu_seconds, embedded.miss_count)
    if embedded.seconds_per_image is not None:
        numbers["seconds_saved"] = sources.hit_count * embedded.seconds_per_image
    return Report(numbers, tables=tables)


def _stage_table(cpu_seconds: Mapping[str, float], image_count: int) -> str:
    """CPU time of the workers by stage: start, read, decode, resize, infer, write."""
    rows = [[stage, f"{seconds:.1f}", f"{1000 * seconds / image_count:.2f}"] for stage, seconds in cpu_seconds.items()]
    return markdown_table(["stage", "CPU-seconds", "ms per image"], rows)
