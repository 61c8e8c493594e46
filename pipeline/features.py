"""Features: one row per distinct picture, with its embedding or the reason why there is none.

Executors decode and embed in one pass: bytes in, uint8 pixels, float32 vectors out; only those cross a process.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import PIL
from pyspark import SparkFiles
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.backbone import Backbone, Embed, load_backbone
from pipeline.preprocess import Picture, UnreadablePictureError, decode
from pipeline.report import Report, count_by, markdown_table
from pipeline.schema import parse_schema

COLUMNS: Final = """
    image_id string comment 'SHA-256 of the bytes, from images.image_id',
    features array<float> comment 'embedding given by the backbone; null where the picture cannot be decoded',
    width int comment 'of the upright picture, in pixels',
    height int comment 'of the upright picture, in pixels',
    format string comment 'format of the file, such as JPEG',
    error string comment 'why there are no features; null where there are',
    backbone string comment 'digest of the graph that made the features'
"""
SCHEMA: Final = f"day date comment 'the day on which the picture arrived, from images.day', {COLUMNS}"

DECODER: Final = f"1, Pillow {PIL.__version__}"
"""What makes pixels of bytes. Raise the number with every change of `preprocess.py` that gives other pixels or reasons:
features and reasons of another decoder are made anew (`feature_cache.py`)."""

BATCH_SIZE: Final = 4
"""Pictures given to ONNX at once: small batches win on CPUs for depthwise networks (docs/decisions.md)."""


def extract_features(images: DataFrame, backbone: Backbone) -> DataFrame:
    """Embeds every distinct picture, lazily; per day where the images have a `day`.

    Args:
        images: with `image_id`, `path` and `content`; rows without content are left out.
        backbone: the graph; its file is sent to the executors.

    Returns:
        The columns of `SCHEMA`, or of `COLUMNS` for images without a day.
    """
    spark = images.sparkSession
    spark.addArtifacts(backbone.path, file=True)
    file_name, digest, size = Path(backbone.path).name, backbone.digest, backbone.size
    key = ["day", "image_id"] if "day" in images.columns else ["image_id"]
    schema = parse_schema(SCHEMA if "day" in key else COLUMNS)
    columns = schema.fieldNames()

    def embed_batches(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        embed = load_backbone(SparkFiles.get(file_name))
        for batch in batches:
            rows = batch[key].assign(backbone=digest)
            embedded = pd.DataFrame(embed_pictures(batch["content"], embed, size), rows.index)
            yield rows.join(embedded)[columns]

    return distinct_pictures(images, key).mapInPandas(embed_batches, schema)


def describe_features(features: DataFrame) -> Report:
    """How many pictures have features, and why the others have none."""
    counts = count_by(features, "error", "format")
    reasons = [[row["error"], row["count"]] for row in counts if row["error"] is not None]
    formats = [[row["format"], row["count"]] for row in counts if row["error"] is None]
    return Report(
        numbers={
            "readable_count": sum(count for _, count in formats),
            "rejected_count": sum(count for _, count in reasons),
        },
        tables={
            "formats": markdown_table(["format", "pictures"], formats),
            **({"rejected": markdown_table(["reason", "pictures"], reasons)} if reasons else {}),
        },
    )


def distinct_pictures(images: DataFrame, key: list[str]) -> DataFrame:
    """Keeps one file of each picture, the first by path, without moving its bytes between executors.

    Of a stored table, the bytes are read once.
    """
    first_paths = images.where(F.col("image_id").isNotNull()).groupBy(*key).agg(F.min("path").alias("path"))
    readable = images.where(F.col("content").isNotNull()).select(*key, "path", "content")
    return readable.join(F.broadcast(first_paths), [*key, "path"], "left_semi")


def embed_pictures(contents: Iterable[bytes], embed: Embed, size: int) -> list[dict[str, object]]:
    """Decodes and embeds pictures, a few at a time.

    Returns:
        For each picture `features`, `width`, `height`, `format` and `error`; nulls where there is none.
    """
    rows: list[dict[str, object]] = []
    pictures: list[tuple[int, Picture]] = []
    for content in contents:
        try:
            pictures.append((len(rows), decode(content, size)))
        except UnreadablePictureError as error:
            rows.append({"features": None, "width": None, "height": None, "format": None, "error": str(error)})
            continue
        picture = pictures[-1][1]
        rows.append({"width": picture.width, "height": picture.height, "format": picture.format, "error": None})
        if len(pictures) == BATCH_SIZE:
            _embed_into(rows, pictures, embed)
            pictures.clear()
    if pictures:
        _embed_into(rows, pictures, embed)
    return rows


def _embed_into(rows: list[dict[str, object]], pictures: list[tuple[int, Picture]], embed: Embed) -> None:
    vectors = embed(np.stack([picture.pixels for _, picture in pictures]))
    for (row, _), vector in zip(pictures, vectors, strict=True):
        rows[row]["features"] = vector
