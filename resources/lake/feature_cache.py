"""The feature cache of a deployment: a table of the lake, so that no picture is ever embedded twice.

How pictures are found in it is `pipeline/images/feature_cache.py`; how they are embedded `pipeline/images/features.py`.
"""

from collections.abc import Collection
from typing import Final

import dagster as dg
import pyarrow as pa
from pydantic import Field
from pyspark.sql import SparkSession

from pipeline.embed.backbone import Backbone
from pipeline.images.feature_cache import (
    CACHE_SCHEMA,
    Embedded,
    count_sources,
    find_cached,
    find_images,
    find_missing,
    serve_features,
)
from pipeline.images.features import COLUMNS, SCHEMA, embed_stored
from pipeline.storage.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Appended, Lake, LakeError
from resources.settings import Settings

TABLE: Final = "feature_cache"


class FeatureCache(dg.ConfigurableResource):
    """Features by picture, backbone and decoder, for ever."""

    lake: Lake = Field(description="Where the cache lives, as the table feature_cache.")
    settings: dg.ResourceDependency[Settings]

    def embed(self, images: StoredRows, backbone: Backbone, ids: Collection[str] | None = None) -> Embedded:
        """Embeds the distinct pictures that were never embedded with this backbone, and serves the others.

        Costs: the driver reads the ids of the pictures, and those of everything that this backbone ever made, a million
        at a time; it keeps some 200 bytes of every picture of the run. Bytes are read of misses alone, by the workers
        that embed them. Misses are written twice, here and in the table of the asset.

        Args:
            images: with `image_id`, `length` and `content`, and perhaps `day`.
            backbone: the graph; its file is not opened where all are hits.
            ids: of the pictures that are wanted; None for all.

        Raises:
            LakeError: where the misses cannot be stored, or have no bytes any more; nothing is stored, then.
        """
        pictures = find_images(images, ids)
        cached = self._read(images.spark, backbone)
        found = find_cached(cached, pictures["image_id"], self.settings.max_pixels)
        missing = find_missing(pictures, found)
        self._check_bytes(missing)
        made = self._append(images, missing, backbone) if missing.num_rows else None
        if made:
            cached = self._read(images.spark, backbone)
            new = find_cached(
                cached.among(made.files), missing["image_id"], self.settings.max_pixels, even_fleeting=True
            )
            found = pa.concat_tables([found, new])
        schema = SCHEMA if "day" in images.schema.names else COLUMNS
        return Embedded(
            serve_features(cached, found, pictures, backbone, schema),
            count_sources(pictures, missing),
            made.seconds if made else 0.0,
            made.cpu_seconds if made else {},
            self._seconds_per_picture(backbone),
        )

    def _check_bytes(self, missing: pa.Table) -> None:
        days = sorted({str(day) for day in missing["day"].to_pylist() if day})
        emptied = self.lake.list_emptied(days) if days else []
        if emptied:
            raise LakeError(
                f"pictures of {', '.join(emptied)} were never embedded like this, and their bytes are kept no longer"
                f" (DAYLIGHT_KEEP_IMAGES_DAYS): materialize images for the day too, which reads the landing zone anew"
            )

    def _append(self, images: StoredRows, places: pa.Table, backbone: Backbone) -> Appended:
        """Embeds and writes in one worker: what a task embeds becomes a file of the cache."""
        rows = embed_stored(images, places, backbone, CACHE_SCHEMA, self.settings.limits)
        return self.lake.append(TABLE, rows, "backbone", backbone.digest)

    def _read(self, spark: SparkSession, backbone: Backbone) -> StoredRows:
        return self.lake.read_appended(spark, TABLE, parse_schema(CACHE_SCHEMA), "backbone", backbone.digest)

    def _seconds_per_picture(self, backbone: Backbone) -> float | None:
        """Over all runs on record, so that the start of a run with one picture does not pass for its cost."""
        runs = self.lake.list_appended(TABLE, "backbone", backbone.digest)
        picture_count = sum(run.row_count for run in runs)
        return sum(run.seconds for run in runs) / picture_count if picture_count else None
