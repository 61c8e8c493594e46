"""Features: one row per distinct picture, with its embedding or the reason why there is none.

Executors embed in one pass, by the sandbox of their worker: bytes in, float32 vectors out; no pixels cross a process.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.child import Work
from pipeline.embed.decode import DECODING_PACKAGES
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.sandbox import open_sandbox
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report
from pipeline.storage.counting import Day, count_by_day
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.rows import LazyRows, rows_in_pandas
from pipeline.storage.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows, read_portion, share_rows

COLUMNS: Final = """
    image_id string comment 'SHA-256 of the bytes, from images.image_id',
    features array<float> comment 'embedding by the backbone, from images.content; null where it cannot be decoded',
    width int comment 'of the upright picture, in pixels, from images.content',
    height int comment 'of the upright picture, in pixels, from images.content',
    format string comment 'format of the file, such as JPEG, from images.content',
    error string comment 'why there are no features, from images.content; null where there are',
    backbone string comment 'digest of the graph that made the features'
"""
SCHEMA: Final = f"day date comment 'the day on which the picture arrived, from images.day', {COLUMNS}"

DECODER: Final = ", ".join(["4", *(f"{package} {version(package)}" for package in DECODING_PACKAGES)])
"""What makes pixels of bytes. Raise the number with every change of `preprocess.py` or `letterbox.py` that gives other
pixels or reasons: what another decoder gave is made anew (`feature_cache.py`)."""

IMAGE_BYTES: Final = 2**18
"""What embedding a picture costs beside decoding it, as if it were so many bytes more."""

TASK_BYTES: Final = 2**28


def extract_features(images: DataFrame, backbone: Backbone, limits: Limits = DEFAULT_LIMITS) -> DataFrame:
    """Embeds every distinct picture, lazily; per day where the images have a `day`.

    Args:
        images: with `image_id`, `path` and `content`; rows without content are left out.
        backbone: the graph; its file is sent to the executors.
        limits: of a picture.

    Returns:
        The columns of `SCHEMA`, or of `COLUMNS` for images without a day.
    """
    key = ["day", "image_id"] if "day" in images.columns else ["image_id"]
    schema = parse_schema(SCHEMA if "day" in images.columns else COLUMNS)
    embed_batch = _batch_embedder(images.sparkSession, backbone, limits, schema.fieldNames())

    def embed_batches(batches: Iterator[pd.DataFrame], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            contents = pa.array(batch["content"], pa.binary())
            yield embed_batch({name: pa.array(batch[name]) for name in key}, contents, cpu_timer)

    return rows_in_pandas(distinct_images(images, key), embed_batches, schema).frame


def embed_stored(
    images: StoredRows, places: pa.Table, backbone: Backbone, schema: str, limits: Limits = DEFAULT_LIMITS
) -> LazyRows:
    """Embeds stored pictures, whose bytes are read where they are embedded.

    Args:
        images: the table of the pictures.
        places: of one row for every picture, as `StoredRows.locate` gives them, with `length` in bytes; one at least.
        backbone: the graph; its file is sent to the executors.
        schema: DDL of the result, such as `COLUMNS`.
        limits: of a picture.
    """
    struct = parse_schema(schema)
    embed_batch = _batch_embedder(images.spark, backbone, limits, struct.fieldNames())
    folder = images.folder
    weights = [length + IMAGE_BYTES for length in places["length"].to_pylist()]

    def embed_portions(portions: Iterator[pd.DataFrame], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(each.to_dict("records") for each in portions):
            pictures = read_portion(folder, portion, ["image_id", "content"])
            ids, contents = pictures["image_id"].combine_chunks(), pictures["content"].combine_chunks()
            yield embed_batch({"image_id": ids}, contents, cpu_timer)

    return rows_in_pandas(share_rows(images.spark, places, weights, TASK_BYTES), embed_portions, struct)


def describe_features(features: DataFrame) -> dict[Day, Report]:
    """How many pictures of every day have features, and why the others have none."""
    return {day: _tell(counts) for day, counts in count_by_day(features, "error", "format").items()}


def _tell(counts: list[Row]) -> Report:
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


def distinct_images(images: DataFrame, key: list[str]) -> DataFrame:
    """Keeps one file of each picture, the first by path, without moving its bytes between executors.

    Of a stored table, the bytes are read once.
    """
    first_paths = images.where(F.col("image_id").isNotNull()).groupBy(*key).agg(F.min("path").alias("path"))
    readable = images.where(F.col("content").isNotNull()).select(*key, "path", "content")
    return readable.join(F.broadcast(first_paths), [*key, "path"], "left_semi")


def _batch_embedder(
    spark: SparkSession, backbone: Backbone, limits: Limits, columns: list[str]
) -> Callable[[Mapping[str, pa.Array], pa.Array, CpuTimer], pa.RecordBatch]:
    """What a worker does with a batch: from keys and contents to rows of features. Sends the graph to the workers."""
    spark.addArtifacts(backbone.path, file=True)
    file_name, size, batch_size = Path(backbone.path).name, backbone.size, backbone.batch_size
    names = {"backbone": backbone.digest, "decoder": DECODER}

    def embed_batch(keys: Mapping[str, pa.Array], contents: pa.Array, cpu_timer: CpuTimer) -> pa.RecordBatch:
        cpu_timer.lap("read")
        sandbox = open_sandbox(Work(SparkFiles.get(file_name), size, batch_size, limits))
        embedded = sandbox.embed(contents, cpu_timer)
        same = {name: pa.repeat(value, embedded.num_rows) for name, value in names.items()}
        arrays = {**keys, **same, **dict(zip(embedded.schema.names, embedded.columns, strict=True))}
        return pa.RecordBatch.from_arrays([arrays[name] for name in columns], columns)

    return embed_batch
