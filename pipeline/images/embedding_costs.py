"""Embedding costs: cache hits, speed and price, for the pages of assets."""

from collections.abc import Callable

from pipeline.images.cache_lookup import Sources
from pipeline.images.feature_cache import Embedded
from pipeline.images.features import describe_features
from pipeline.reports.markdown import markdown_table
from pipeline.reports.queries import Rows
from pipeline.reports.report import Number, Report, join_reports
from pipeline.storage.counting import Day


def describe_embedded(embedded: Embedded, core_hour_dollars: float) -> Callable[[Rows], dict[Day, Report]]:
    """Like `describe_features`, with cache hits by day and the speed and cost of the whole run."""

    def describe(features: Rows) -> dict[Day, Report]:
        reports = describe_features(features)
        return {
            day: join_reports(each, report_costs(embedded, day, core_hour_dollars)) for day, each in reports.items()
        }

    return describe


def report_costs(embedded: Embedded, day: Day, core_hour_dollars: float) -> Report:
    """Reports the cache hits of a day, or of a table without days, and the speed and cost of the run.

    A day to which the run added nothing has neither hits nor misses.
    """
    sources = embedded.sources.get(day, Sources(0, 0))
    numbers: dict[str, Number] = {"cache_hit_count": sources.hit_count, "embedded_count": sources.miss_count}
    if image_count := sources.hit_count + sources.miss_count:
        numbers["cache_hit_share"] = sources.hit_count / image_count
    tables = {}
    if embedded.miss_count:
        cpu_seconds = sum(embedded.cpu_seconds.values())
        numbers["embedded_per_second"] = embedded.miss_count / embedded.embed_seconds
        numbers["cpu_seconds"] = cpu_seconds
        numbers["dollars_per_million"] = cpu_seconds / embedded.miss_count * 1e6 / 3600 * core_hour_dollars
        stages = embedded.cpu_seconds.items()
        rows = [[stage, f"{spent:.1f}", f"{1000 * spent / embedded.miss_count:.2f}"] for stage, spent in stages]
        tables["cpu"] = markdown_table(["stage", "CPU-seconds", "ms per image"], rows)
    if embedded.seconds_per_image is not None:
        numbers["seconds_saved"] = sources.hit_count * embedded.seconds_per_image
    return Report(numbers, tables=tables)
