"""Embeddings of what arrived, by the one frozen backbone; no picture is ever embedded twice."""

import dagster as dg

from assets.partitions import daily_asset
from pipeline.backbone import Backbone
from pipeline.embedding_costs import describe_embedded
from pipeline.labels import label_features
from pipeline.report import Table
from pipeline.stored import StoredRows
from resources.feature_cache import FeatureCache
from resources.prices import Prices


@dg.asset(group_name="training", kinds={"spark", "onnx", "deltalake"}, owners=["team:vision"])
def training_features(
    training_images: StoredRows, backbone: Backbone, feature_cache: FeatureCache, prices: Prices
) -> Table:
    """Embeddings of the labelled pictures, one row per distinct picture.

    A picture that cannot be decoded has a reason in the place of its features. Equal pictures filed under two labels
    keep their features and lose their label, since one of the two is wrong.
    """
    embedded = feature_cache.embed(training_images, backbone)
    return Table(
        label_features(embedded.rows.frame, training_images.frame),
        describe_embedded(embedded, prices.core_hour_dollars),
    )


@daily_asset(kinds={"spark", "onnx", "deltalake"})
def image_features(images: StoredRows, backbone: Backbone, feature_cache: FeatureCache, prices: Prices) -> Table:
    """Embeddings of the day's pictures, one row per distinct picture.

    A picture that cannot be decoded is a row with the reason why.
    """
    embedded = feature_cache.embed(images, backbone)
    return Table(embedded.rows, describe_embedded(embedded, prices.core_hour_dollars))
