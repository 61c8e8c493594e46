"""The asset `training_split`: the split of the labelled images into train and holdout."""

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from assets.declarations import training_asset
from pipeline.images.split import split_images
from pipeline.reports.report import Table, describe_whole
from pipeline.reviews.reviews import SCHEMA as REVIEWS_SCHEMA
from pipeline.reviews.settled_labels import find_settled
from pipeline.similarity.leakage_groups import describe_groups, group_images, split_groups
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Lake
from resources.settings import Settings


class SplitConfig(dg.Config):
    """Settings of one launch."""

    split_anew: bool = Field(
        default=False, description="Ignore the former split, and draw a new one with a new holdout."
    )


@training_asset(kinds={"spark", "deltalake"})
def training_split(
    config: SplitConfig,
    training_images: StoredRows,
    near_duplicates: DataFrame,
    lake: Lake,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Label, leakage group and split of every distinct labelled image.

    An image keeps its split when others arrive, and a leakage group never lies in both: where it would, its train
    images are left out. Equal images filed under two labels lose their label, since one of the two is wrong. A label
    that a person settled on the page of `make review` replaces that of the file.
    """
    spark, images = training_images.spark, training_images.frame
    former = None if config.split_anew else lake.find(spark, "training_split")
    members = group_images(near_duplicates, images)
    groups = split_groups(images, members, former.frame if former else None)
    settled = find_settled(lake.read_known(spark, "reviews", parse_schema(REVIEWS_SCHEMA), None))
    describe = describe_whole(describe_groups(training_images, settings.limits))
    return Table(split_images(images, groups, settled), describe)
