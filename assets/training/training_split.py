"""The split of the labelled images into train and holdout."""

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession

from pipeline.images.split import split_images
from pipeline.reports.report import Table, describe_whole
from pipeline.similarity.leakage_groups import describe_groups, group_images, split_groups
from resources.lake.lake import Lake
from resources.spark.session import POOL


class SplitConfig(dg.Config):
    """Settings of one launch."""

    split_anew: bool = Field(
        default=False,
        description="Forget the former split: no leakage group is split across, and the holdout is a new one.",
    )


@dg.asset(pool=POOL, group_name="training", kinds={"spark", "deltalake"}, owners=["team:vision"])
def training_split(config: SplitConfig, training_images: DataFrame, near_duplicates: DataFrame, lake: Lake) -> Table:
    """Label, leakage group and split of every distinct labelled image.

    An image keeps its split when others arrive, and a leakage group never lies in both: where it would, its train
    images are left out. Equal images filed under two labels lose their label, since one of the two is wrong.
    """
    former = None if config.split_anew else read_former_split(lake, training_images.sparkSession)
    groups = split_groups(training_images, group_images(near_duplicates, training_images), former)
    return Table(split_images(training_images, groups), describe_whole(describe_groups(training_images)))


def read_former_split(lake: Lake, spark: SparkSession) -> DataFrame | None:
    """Reads the split of the previous training, which decides this one; None before the first training."""
    former = lake.find(spark, "training_split")
    return former.frame if former else None
