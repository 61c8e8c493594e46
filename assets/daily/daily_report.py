"""The daily report: one HTML page for readers without access to Dagster."""

from functools import partial

import dagster as dg
import pyarrow as pa

from assets.daily.partitions import daily_asset, find_open
from pipeline.daily.daily_report import DayTables, make_reports
from pipeline.daily.daily_report_page import render_page
from pipeline.daily.day_counts import with_days_before
from pipeline.daily.difficulty_table import SCHEMA as DIFFICULTY_SCHEMA
from pipeline.daily.predictions import SCHEMA as PREDICTIONS_SCHEMA
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.instance.day_costs import find_cost
from resources.instance.pages import show_numbers
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.settings import Settings
from resources.spark.session import SparkResource


@daily_asset(kinds={"html"}, deps=["difficulty"])
def daily_report(
    context: dg.AssetExecutionContext,
    predictions: StoredRows,
    review_queue: StoredRows,
    images: StoredRows,
    drift: pa.Table,
    lake: Lake,
    spark: SparkResource,
    model_store: ModelStore,
    settings: dg.ResourceParam[Settings],
) -> None:
    """One HTML page a day for managers: counts compared with four weeks, review queue, drift, classifier and cost.

    The file has no external resources, so it can be mailed and printed. Running the day again replaces it.
    """
    days, schema = context.partition_keys, parse_schema(PREDICTIONS_SCHEMA)
    history = lake.read_known(spark.spark_session, "predictions", schema, with_days_before(days))
    difficulty = lake.read_known(spark.spark_session, "difficulty", parse_schema(DIFFICULTY_SCHEMA), days)
    tables = DayTables(history, predictions, review_queue, images, drift, difficulty.read_small())
    cost = partial(find_cost, context.instance, core_hour_dollars=settings.core_hour_dollars)
    is_open = find_open(context, settings) is not None
    for report in make_reports(days, tables, model_store.read_evaluation, cost, settings.limits):
        page = render_page(report, settings.review_url, is_open)
        metadata = {
            "page": dg.MetadataValue.path(lake.write_report(str(report.day), page)),
            **show_numbers({"kilobytes": len(page.encode()) / 1000} | report.numbers),
        }
        context.add_asset_metadata(metadata, partition_key=str(report.day))
