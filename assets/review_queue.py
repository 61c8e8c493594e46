"""What a person should look at."""

from pyspark.sql import DataFrame

from assets.partitions import daily_asset
from pipeline.report import Table
from pipeline.review_queue import describe_review_queue, queue_for_review


@daily_asset(kinds={"spark", "deltalake"})
def review_queue(predictions: DataFrame, images: DataFrame) -> Table:
    """Pictures of the day that are worth a person's look, the least certain first."""
    return Table(queue_for_review(predictions), describe_review_queue(images))
