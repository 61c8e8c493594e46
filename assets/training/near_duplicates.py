"""The asset `near_duplicates`: labelled images of the same shot."""

import dagster as dg
from pyspark.sql import DataFrame

from pipeline.reports.report import Table, describe_whole
from pipeline.similarity.near_duplicates import describe_near_duplicates, find_near_duplicates
from resources.settings import Settings
from resources.spark.session import POOL


@dg.asset(pool=POOL, group_name="training", kinds={"spark", "deltalake"}, owners=["team:vision"])
def near_duplicates(
    training_features: DataFrame, training_images: DataFrame, settings: dg.ResourceParam[Settings]
) -> Table:
    """Pairs of labelled images of the same shot: re-encoded, cropped, resized, mirrored or slightly rotated.

    Embeddings suggest the pairs, pixels confirm them. Near-duplicates must stay in one split, and if their labels
    differ, one of the labels is wrong.
    """
    pairs = find_near_duplicates(training_features, training_images, settings.limits)
    return Table(pairs, describe_whole(describe_near_duplicates(training_images, settings.limits)))
