"""The asset `training_features`: embeddings of the labelled images."""

import dagster as dg

from assets.declarations import training_asset
from pipeline.embed.backbone import Backbone
from pipeline.images.embedding_costs import describe_embedded
from pipeline.reports.report import Table
from pipeline.storage.stored_rows import StoredRows
from resources.lake.feature_cache import FeatureCache
from resources.settings import Settings


@training_asset(kinds={"spark", "onnx", "deltalake"})
def training_features(
    training_images: StoredRows, backbone: Backbone, feature_cache: FeatureCache, settings: dg.ResourceParam[Settings]
) -> Table:
    """Embeddings of the labelled images, one row per distinct image; one that cannot be decoded has an error."""
    embedded = feature_cache.embed(training_images, backbone)
    return Table(embedded.rows, describe_embedded(embedded, settings.core_hour_dollars))
