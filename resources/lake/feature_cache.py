"""The feature cache of a deployment: a table of the lake, partitioned by backbone.

Lookup and embedding are `pipeline/images/feature_cache.py`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg
import pyarrow as pa
from pydantic import Field
from pyspark.sql import SparkSession

from pipeline.embed.backbone import Backbone
from pipeline.images.feature_cache import CACHE_SCHEMA, Embedded, embed_with_cache
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.digest_index import DigestIndex, RowNumbers
from pipeline.storage.stored_rows import StoredRows
from resources.lake.appended_table import AppendedTable
from resources.lake.commits import LakeError
from resources.lake.lake import Lake
from resources.lake.purge import list_purged
from resources.settings import Settings

TABLE: Final = "feature_cache"
INDEX: Final = "_index"


def open_index(folder: str, digest: str) -> DigestIndex:
    """The index of the rows of a backbone; tools that read Delta tables skip its folder, below that of the table."""
    return DigestIndex(folder, f"{folder}/{INDEX}/{digest}")


@dataclass(frozen=True)
class CachedFeatures(AppendedTable):
    """The cached features of one backbone; a `pipeline.images.feature_cache.CacheTable`."""

    lake: Lake

    @property
    def index(self) -> DigestIndex:
        """The index of these rows."""
        return open_index(self.folder, self.value)

    def find_rows(self, rows: StoredRows, ids: pa.ChunkedArray) -> RowNumbers:
        """Finds those of the rows that may have one of these ids, by file; files that it leaves out may have any."""
        return self.index.find_rows(rows.files, ids)

    def check_content(self, days: Sequence[str]) -> None:
        """Raises a `LakeError` if the image bytes of one of these days were purged."""
        purged = list_purged(self.lake, days)
        if purged:
            raise LakeError(
                f"images of {', '.join(purged)} are not in the feature cache of this backbone, and their bytes were"
                " purged (DAYLIGHT_KEEP_IMAGES_DAYS): materialize images for these days too, which reads the landing"
                " zone again"
            )


class FeatureCache(dg.ConfigurableResource):
    """Embeds images and keeps their features forever, by backbone and decoder."""

    lake: Lake = Field(description="Lake with the table feature_cache.")
    settings: dg.ResourceDependency[Settings]

    def embed(self, images: StoredRows, backbone: Backbone, ids: Collection[str] | None = None) -> Embedded:
        """Embeds images that were never embedded with this backbone and serves the others; see `embed_with_cache`.

        Raises:
            LakeError: if the misses cannot be stored or their bytes were purged.
        """
        cache = self.open_table(images.spark, backbone)
        return embed_with_cache(images, backbone, cache, self.settings.limits, ids, dg.get_dagster_logger().info)

    def open_table(self, spark: SparkSession, backbone: Backbone) -> CachedFeatures:
        """The cached features of a backbone."""
        schema = parse_schema(CACHE_SCHEMA)
        folder, seconds = self.lake.folder(TABLE), self.settings.commit_seconds
        return CachedFeatures(spark, folder, schema, "backbone", backbone.digest, self.lake, commit_seconds=seconds)
