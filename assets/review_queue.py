"""What a person should look at."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.partitions import days, one_run
from pipeline.report import Table
from pipeline.review_queue import describe_review_queue, queue_for_review


@dg.asset(
    partitions_def=days,
    backfill_policy=one_run,
    group_name="daily",
    kinds={"spark", "deltalake"},
    owners=["team:vision"],
)
def review_queue(predictions: DataFrame, images: DataFrame) -> Table:
    """Pictures of the day that are worth a person's look, the least certain first."""
    return Table(queue_for_review(predictions), describe_review_queue(images))
