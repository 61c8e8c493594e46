"""The feature cache of a deployment: a table of the lake, so that no picture is ever embedded twice.

How pictures are found in it is `pipeline/feature_cache.py`; how they are embedded `pipeline/features.py`.
"""

from typing import Final

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession

from pipeline.backbone import Backbone
from pipeline.feature_cache import (
    CACHE_SCHEMA,
    Embedded,
    Sources,
    count_sources,
    join_features,
    keep_lasting,
    locate_pictures,
    missing_images,
)
from pipeline.features import embed_images
from pipeline.schema import parse_schema
from resources.lake import Appended, Lake

TABLE: Final = "feature_cache"


class FeatureCache(dg.ConfigurableResource):
    """Features by picture, backbone and decoder, for ever."""

    lake: Lake = Field(description="Where the cache lives, as the table feature_cache.")

    def embed(self, images: DataFrame, backbone: Backbone) -> Embedded:
        """Embeds the distinct pictures that were never embedded with this backbone, and serves the others.

        Costs, of images read from a table: of hits only the ids are read, and the ids of everything that this backbone
        ever made (80 bytes a row in the JVM, in tasks of 32 MiB of the files); features are read from the files that
        hold hits. The ids of the run are broadcast, about 200 bytes a picture: 20 MB for 100,000. On a day with misses
        Spark reads the bytes of all pictures and decodes those of the misses. Misses are written twice, here and in the
        table of the asset.

        Args:
            images: with `image_id`, `path` and `content`, and perhaps `day`; run several times, so best from a table.
            backbone: the graph; its file is not opened where all are hits.

        Raises:
            LakeError: where the misses cannot be stored; nothing is, then.
        """
        spark = images.sparkSession
        located = locate_pictures(images, keep_lasting(self._read(spark, backbone))).persist()
        try:
            counts = count_sources(located)
            missing = {row["day"]: row["miss_count"] for row in counts if row["miss_count"]}
            made = None
            if missing:
                images_to_embed = missing_images(images, located, list(missing))
                made = self._append(images_to_embed, backbone)
        finally:
            located.unpersist()
        files = frozenset[str]().union(*(row["files"] for row in counts), made.files if made else ())
        return Embedded(
            join_features(images, self._read(spark, backbone, files)),
            {row["day"]: Sources(row["hit_count"], row["miss_count"]) for row in counts},
            made.seconds if made else 0.0,
            made.cpu_seconds if made else {},
            self._seconds_per_picture(backbone),
        )

    def _append(self, images: DataFrame, backbone: Backbone) -> Appended:
        """Embeds and writes in one worker: a task of the images becomes a file of the cache."""
        return self.lake.append(TABLE, embed_images(images, backbone, CACHE_SCHEMA), "backbone", backbone.digest)

    def _read(self, spark: SparkSession, backbone: Backbone, files: frozenset[str] | None = None) -> DataFrame:
        schema = parse_schema(CACHE_SCHEMA)
        return self.lake.read_appended(spark, TABLE, schema, "backbone", backbone.digest, files)

    def _seconds_per_picture(self, backbone: Backbone) -> float | None:
        """Over all runs on record, so that the start of a run with one picture does not pass for its cost."""
        runs = self.lake.list_appended(TABLE, "backbone", backbone.digest)
        picture_count = sum(run.row_count for run in runs)
        return sum(run.seconds for run in runs) / picture_count if picture_count else None
