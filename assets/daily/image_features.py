"""The asset `image_features`: embeddings of the day's images; no image is embedded twice."""

import dagster as dg

from assets.daily.partitions import daily_asset
from pipeline.embed.backbone import Backbone
from pipeline.images.embedding_costs import describe_embedded
from pipeline.reports.report import Table
from pipeline.storage.stored_rows import StoredRows
from resources.lake.feature_cache import FeatureCache
from resources.settings import Settings


@daily_asset(kinds={"spark", "onnx", "deltalake"})
def image_features(
    images: StoredRows, backbone: Backbone, feature_cache: FeatureCache, settings: dg.ResourceParam[Settings]
) -> Table:
    """Embeddings of the day's images, one row per distinct image.

    An image that cannot be decoded has an error instead of features.
    """
    embedded = feature_cache.embed(images, backbone)
    return Table(embedded.rows, describe_embedded(embedded, settings.core_hour_dollars))
