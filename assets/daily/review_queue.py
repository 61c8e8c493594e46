"""The images of a day to review, as a table and as a form to fill in."""

from dataclasses import replace

import dagster as dg

from assets.daily.partitions import daily_asset
from pipeline.reports.report import Table
from pipeline.reviews.review_form import make_forms
from pipeline.reviews.review_queue import SCHEMA, describe_review_queue, make_queue
from pipeline.similarity.novelty import choose_reference
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Lake
from resources.settings import Settings


@daily_asset(kinds={"spark", "deltalake"}, deps=["drift"])
def review_queue(
    context: dg.AssetExecutionContext,
    predictions: StoredRows,
    images: StoredRows,
    image_features: StoredRows,
    training_features: StoredRows,
    training_split: StoredRows,
    lake: Lake,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Images of the day to review: of low quality, uncertain, novel (unlike all training images), or in the audit.

    The audit estimates the production accuracy. Its size is DAYLIGHT_AUDIT_SHARE of the predicted images, between
    DAYLIGHT_AUDIT_MIN and DAYLIGHT_AUDIT_MAX. Running the day again removes no image from its queue, unless another
    classifier predicts it.
    """
    reference = choose_reference(training_features, training_split)
    former = lake.read_known(predictions.spark, "review_queue", parse_schema(SCHEMA), context.partition_keys)
    size = replace(settings.audit_size, question=lake.prefix)
    queue = make_queue(predictions, image_features, reference, size, former)
    return Table(queue, describe_review_queue(images, reference.threshold, settings.limits))


@daily_asset(kinds={"csv"})
def review_form(
    context: dg.AssetExecutionContext, review_queue: StoredRows, lake: Lake, settings: dg.ResourceParam[Settings]
) -> None:
    """The day's queue as a CSV file in the lake. Fill in its last column and put it into reviews/, next to days/.

    The page of `make review` needs no form. Running the day again replaces this form, but never a filled one.
    """
    for day, form in make_forms(review_queue, context.partition_keys).items():
        metadata = {
            "form": dg.MetadataValue.path(lake.write_form(day, form.text)),
            "page": dg.MetadataValue.url(f"{settings.review_url}/?day={day}"),  # while make review runs
            "dagster/partition_row_count": form.row_count,
            "left_out_count": form.left_out_count,
        }
        context.add_asset_metadata(metadata, partition_key=day)
