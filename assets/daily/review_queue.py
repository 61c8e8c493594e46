"""What a person should look at, as a table and as a form to fill in."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.partitions import daily_asset
from pipeline.reports.report import Table
from pipeline.reviews.review_form import make_forms
from pipeline.reviews.review_queue import describe_review_queue, queue_for_review
from pipeline.similarity.novelty import choose_reference, measure_similarity
from resources.lake.lake import Lake
from resources.settings import Settings


@daily_asset(kinds={"spark", "deltalake"})
def review_queue(
    predictions: DataFrame,
    images: DataFrame,
    image_features: DataFrame,
    training_features: DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Pictures of the day that are worth a person's look: uncertain, unlike all training pictures, or drawn at random.

    The random sample tells the accuracy in production: DAYLIGHT_AUDIT_SHARE of the answered pictures, at least
    DAYLIGHT_AUDIT_MIN and at most DAYLIGHT_AUDIT_MAX.
    """
    reference = choose_reference(training_features)
    similarities = measure_similarity(image_features, reference)
    queue = queue_for_review(predictions, similarities, reference.threshold, settings.audit_size)
    return Table(queue, describe_review_queue(images, reference.threshold))


@daily_asset(kinds={"csv"})
def review_form(context: dg.AssetExecutionContext, review_queue: DataFrame, lake: Lake) -> None:
    """The queue of the day as a CSV file in the lake: fill in its last column, and put it into reviews/ where days/ is.

    A day that is run again makes its form anew, and never touches what was sent back.
    """
    for day, form in make_forms(review_queue, context.partition_keys).items():
        metadata = {
            "form": dg.MetadataValue.path(lake.write_form(day, form.text)),
            "dagster/partition_row_count": form.row_count,
            "left_out_count": form.left_out_count,
        }
        context.add_asset_metadata(metadata, partition_key=day)
