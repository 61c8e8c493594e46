"""The asset `image_features`: embeddings of the day's images; no image is embedded twice."""

import dagster as dg

from assets.daily.partitions import daily_asset, find_open
from pipeline.embed.backbone import Backbone
from pipeline.images.embedding_costs import describe_embedded
from pipeline.images.growing_day import STORED_FEATURES, select_new_images
from pipeline.reports.report import Table
from pipeline.storage.stored_rows import StoredRows
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.settings import Settings


@daily_asset(kinds={"spark", "onnx", "deltalake"})
def image_features(
    context: dg.AssetExecutionContext,
    images: StoredRows,
    backbone: Backbone,
    feature_cache: FeatureCache,
    lake: Lake,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Embeddings of the day's images, one row per distinct image.

    An image that cannot be decoded has an error instead of features. While the day goes on, a run adds only the images
    that have arrived since the last one.
    """
    day, new = find_open(context, settings), None
    if day and lake.list_written("image_features", [day]):
        ids = lake.read_arrow("images", day, ["image_id"])["image_id"]
        new = select_new_images(ids, lake.read_arrow("image_features", day, STORED_FEATURES), backbone.digest)
    embedded = feature_cache.embed(images, backbone, new)
    return Table(embedded.rows, describe_embedded(embedded, settings.core_hour_dollars), is_added=new is not None)
