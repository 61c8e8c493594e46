"""Embeddings of what arrived, by the one frozen backbone."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.partitions import daily_asset
from pipeline.backbone import Backbone
from pipeline.features import describe_features, extract_features
from pipeline.labels import label_features
from pipeline.report import Table


@dg.asset(group_name="training", kinds={"spark", "onnx", "deltalake"}, owners=["team:vision"])
def training_features(training_images: DataFrame, backbone: Backbone) -> Table:
    """Embeddings of the labelled pictures, one row per distinct picture.

    A picture that cannot be decoded has a reason in the place of its features. Equal pictures filed under two labels
    keep their features and lose their label, since one of the two is wrong.
    """
    features = extract_features(training_images, backbone)
    return Table(label_features(features, training_images), describe_features)


@daily_asset(kinds={"spark", "onnx", "deltalake"})
def image_features(images: DataFrame, backbone: Backbone) -> Table:
    """Embeddings of the day's pictures, one row per distinct picture.

    A picture that cannot be decoded is a row with the reason why.
    """
    return Table(extract_features(images, backbone), describe_features)
