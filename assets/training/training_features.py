"""Embeddings of the labelled images, and the pairs of them that are near-duplicates."""

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.embed.backbone import Backbone
from pipeline.images.embedding_costs import describe_embedded, report_costs
from pipeline.images.labels import label_features
from pipeline.reports.report import Table, describe_all, describe_whole
from pipeline.similarity.leakage_groups import describe_groups, group_images, split_groups
from pipeline.similarity.near_duplicates import describe_near_duplicates, find_near_duplicates
from pipeline.storage.stored_rows import StoredRows
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.spark.session import POOL


class SplitConfig(dg.Config):
    """What one launch does with the split."""

    split_anew: bool = Field(
        default=False,
        description="Forget on which side pictures were: no group is torn then, and the holdout is another one.",
    )


@dg.asset(pool=POOL, group_name="training", kinds={"spark", "onnx", "deltalake"}, owners=["team:vision"])
def training_twins(
    training_images: StoredRows, backbone: Backbone, feature_cache: FeatureCache, settings: dg.ResourceParam[Settings]
) -> Table:
    """Pairs of labelled pictures that show the very same: saved anew, cut, scaled, mirrored or turned a little.

    Found by their embeddings, told by their pixels. They must not lie on both sides of the split, and two labels of
    theirs contradict each other.
    """
    embedded = feature_cache.embed(training_images, backbone)
    images = training_images.frame
    return Table(
        find_near_duplicates(embedded.rows.frame, images, settings.max_pixels),
        describe_whole(
            describe_near_duplicates(images), lambda _: report_costs(embedded, None, settings.core_hour_dollars)
        ),
    )


@dg.asset(pool=POOL, group_name="training", kinds={"spark", "onnx", "deltalake"}, owners=["team:vision"])
def training_features(
    config: SplitConfig,
    training_images: StoredRows,
    training_twins: DataFrame,
    backbone: Backbone,
    feature_cache: FeatureCache,
    lake: Lake,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Embeddings of the labelled pictures, one row per distinct picture, split so that twins and groups stay together.

    A picture that cannot be decoded has a reason in the place of its features. Equal pictures filed under two labels
    keep their features and lose their label, since one of the two is wrong. A picture stays on its side when others
    come; where twins were on both, those of the train side are left out.
    """
    embedded, images = feature_cache.embed(training_images, backbone), training_images.frame
    former = None if config.split_anew else lake.find(training_images.spark, "training_features")
    sides = split_groups(images, group_images(training_twins, images), former.frame if former else None)
    return Table(
        label_features(embedded.rows.frame, images, sides),
        describe_all(describe_embedded(embedded, settings.core_hour_dollars), describe_whole(describe_groups(images))),
    )
