"""The overview of all classifiers: one HTML page a day, where a deployment has several."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import dagster as dg

from assets.daily.partitions import daily_asset
from pipeline.daily.overview import Outcome, render_overview
from resources.lake.lake import Lake
from resources.question import Question

GROUP: Final = "overview"  # of its own, so that groups of the lineage follow one another
OWN_NAME: Final = "default"  # of the question of the deployment, on pages


def make_daily_overview(own: Question, others: Sequence[Question]) -> dg.AssetsDefinition:
    """Makes the asset for these questions."""
    questions = (own, *others)

    def daily_overview(context: dg.AssetExecutionContext, lake: Lake) -> None:
        """One HTML page a day for all classifiers: answers, reviews, rejected files, hard days and drift of each.

        The report of each classifier has the details; the page links to it.
        """
        for day in context.partition_keys:
            outcomes = [_find_outcome(each, Lake(root=lake.root, prefix=each.name), day) for each in questions]
            page = lake.write_overview(day, render_overview(date.fromisoformat(day), outcomes))
            context.add_asset_metadata({"page": dg.MetadataValue.path(page)}, partition_key=day)

    reports = [each.key("daily_report") for each in questions]
    return daily_asset(kinds={"html"}, deps=reports, group_name=GROUP)(daily_overview).define(own)


def _find_outcome(question: Question, lake: Lake, day: str) -> Outcome:
    counts = {
        table: lake.count_by_day(table, column, [day]) if lake.list_written(table, [day]) else {}
        for table, column in (("predictions", "decision"), ("review_queue", "reason"))
    }
    difficulty, drift = (
        lake.read_arrow(table, day, columns).to_pylist() if lake.list_written(table, [day]) else []
        for table, columns in (("difficulty", ["summary"]), ("drift", ["summary", "is_alarm"]))
    )
    return Outcome(
        question.name or OWN_NAME,
        {str(decision): count for (_, decision), count in counts["predictions"].items()},
        sum(counts["review_queue"].values()),
        " ".join(row["summary"] for row in difficulty),
        [row["summary"] for row in drift if row["is_alarm"]],
        "/".join(filter(None, ("..", question.name, "reports", f"{day}.html"))),
        question.settings.review_url,
    )
