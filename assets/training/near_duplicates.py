"""The asset `near_duplicates`: labelled images of the same shot."""

from typing import Final

import dagster as dg
from pyspark.sql import DataFrame

from assets.declarations import training_asset
from pipeline.reports.report import Table, describe_whole
from pipeline.similarity.near_duplicates import (
    COMPARED_SCHEMA,
    compare_pairs,
    describe_near_duplicates,
    select_near_duplicates,
)
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Lake
from resources.settings import Settings

COMPARED: Final = "compared_pairs"  # table of all pairs whose pixels were compared, near-duplicates or not


@training_asset(kinds={"spark", "deltalake"})
def near_duplicates(
    training_features: DataFrame, training_images: StoredRows, lake: Lake, settings: dg.ResourceParam[Settings]
) -> Table:
    """Pairs of labelled images of the same shot: re-encoded, cropped, resized, mirrored or slightly rotated.

    Embeddings suggest the pairs, pixels confirm them; the pixels of a pair are compared once. Near-duplicates must stay
    in one split, and if their labels differ, one of the labels is wrong.
    """
    spark, images = training_images.spark, training_images.frame
    former = lake.read_known(spark, COMPARED, parse_schema(COMPARED_SCHEMA), None).frame
    lake.write(COMPARED, compare_pairs(training_features, images, former, settings.limits), None)
    pairs = select_near_duplicates(lake.read(spark, COMPARED, None).frame)
    return Table(pairs, describe_whole(describe_near_duplicates(training_images, settings.limits)))
