"""The table `training_split`: label and split of every labelled image; groups are `similarity/leakage_groups.py`."""

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.storage.columns.schema import parse_schema

TRAIN: Final = "train"
HOLDOUT: Final = "holdout"
SPLIT_FOLDERS: Final = {"train": TRAIN, "validation": HOLDOUT, "test": HOLDOUT, "holdout": HOLDOUT}
"""Split by the name of a folder, or by the value of the column `split` of a manifest."""
HOLDOUT_PERCENT: Final = 20
SCHEMA: Final = """
    image_id string comment 'SHA-256 of the bytes, from training_images.image_id',
    label string comment 'from training_images.label or reviews.label; null if left out or equal images differ in it',
    group string comment 'smallest image_id in it, from near_duplicates.near_duplicate_id or training_images.group',
    split string comment 'split of the leakage group, from training_images.split_said; null where it is left out',
    split_alone string comment 'split without groups, from training_images.split; holdout if equal images are in both'
"""


def split_by_digest(image_id: Column) -> Column:
    """Draws `holdout` for a fixed fifth of all images by the first 32 bits of the digest, else `train`."""
    share = F.conv(F.substring(image_id, 1, 8), 16, 10).cast("long") % 100
    return F.when(share < HOLDOUT_PERCENT, HOLDOUT).otherwise(TRAIN)


def split_images(
    training_images: DataFrame, groups: DataFrame | None = None, settled: DataFrame | None = None
) -> DataFrame:
    """Gives every distinct image one label and one split, in the columns of `SCHEMA`.

    Equal images with different labels get none, since one of the labels is wrong. Equal images of both splits go to the
    holdout.

    Args:
        training_images: with `image_id`, `label` and `split`.
        groups: result of `leakage_groups.split_groups`; None if every image is its own group.
        settled: `image_id` and `settled_label` of images whose label a person settled; null drops the image.
    """
    label = F.when(F.count_distinct("label") == 1, F.min("label")).alias("label")
    known = training_images.where(F.col("image_id").isNotNull())
    images = known.groupBy("image_id").agg(label, F.min("split").alias("split_alone"))
    if settled is not None:
        is_settled = F.broadcast(settled.withColumn("is_settled", F.lit(True)))
        label = F.when(F.col("is_settled"), F.col("settled_label")).otherwise(F.col("label"))
        images = images.join(is_settled, "image_id", "left").withColumn("label", label)
    if groups is None:
        split = images.withColumns({"split": F.col("split_alone"), "group": F.col("image_id")})
    else:
        split = images.join(groups, "image_id")
    return split.to(parse_schema(SCHEMA))


def join_split(features: DataFrame, training_split: DataFrame) -> DataFrame:
    """Adds the columns of `training_split` to the features of the same images.

    Features stored by an older version have such columns themselves; they are replaced.
    """
    columns = [name for name in training_split.columns if name != "image_id"]
    return features.drop(*columns).join(training_split, "image_id")


def label_features(features: DataFrame, training_images: DataFrame) -> DataFrame:
    """Adds label and split to the features of labelled images; every image is its own leakage group."""
    return join_split(features, split_images(training_images))
