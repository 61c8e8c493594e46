"""The review queue: the pictures of a day that a person should look at, the least certain first."""

from collections.abc import Callable
from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contact_sheet import draw_contact_sheet, read_tiles
from pipeline.predictions import REVIEW, SHEET_SIZE, caption
from pipeline.report import Report
from pipeline.schema import parse_schema

SCHEMA: Final = """
    day date comment 'the day on which the picture arrived, from predictions.day',
    image_id string comment 'SHA-256 of the bytes, from predictions.image_id',
    path string comment 'path of the file below the folder of the day, from predictions.path',
    predicted_label string comment 'what the classifier would answer, from predictions.predicted_label',
    confidence double comment 'probability of the predicted label, from predictions.confidence',
    reason string comment 'why a person should look'
"""
UNCERTAIN: Final = "uncertain"


def queue_for_review(predictions: DataFrame) -> DataFrame:
    """Picks the first file of every uncertain picture, lazily, in the columns of `SCHEMA`."""
    first_path = Window.partitionBy("day", "image_id").orderBy("path")
    uncertain = predictions.where(F.col("decision") == REVIEW).withColumn("order", F.row_number().over(first_path))
    return (
        uncertain.where("order = 1")
        .withColumn("reason", F.lit(UNCERTAIN))
        .to(parse_schema(SCHEMA))
        .coalesce(1)
        .sortWithinPartitions("day", "confidence")
    )


def describe_review_queue(images: DataFrame) -> Callable[[DataFrame], Report]:
    """A contact sheet of the least certain pictures.

    Args:
        images: of the same days, for the pictures of the sheet.
    """

    def describe(review_queue: DataFrame) -> Report:
        chosen = review_queue.orderBy("confidence", "image_id").limit(SHEET_SIZE).collect()
        tiles = read_tiles(images.where(F.col("day") == chosen[0]["day"]), chosen, caption)
        return Report(pictures={"contact_sheet": draw_contact_sheet(tiles)})

    return describe
