"""Features: one row per distinct image, with its embedding or the reason why there is none."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.contents import COLUMNS as CONTENT_COLUMNS
from pipeline.embed.contents import Contents, choose_columns, read_contents
from pipeline.embed.embedding import Embedding
from pipeline.embed.file_kinds import DECODER
from pipeline.embed.fits import FITS
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.sandbox import open_sandbox
from pipeline.reports.markdown import markdown_table
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import Day
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.rows import LazyRows, rows_in_pandas
from pipeline.storage.stored_rows import StoredRows, read_portion, share_rows

_EMBEDDED: Final = """
    image_id string comment 'SHA-256 of the bytes, from images.image_id',
    features array<float> comment 'embedding, from images.content or images.location; null if it cannot be decoded',
    width int comment 'width of the upright image in pixels, from images.content or images.location',
    height int comment 'height of the upright image in pixels, from images.content or images.location',
    format string comment 'format of the file, such as JPEG, from images.content or images.location',
    error string comment 'why there are no features, from images.content or images.location; null if there are',
    backbone string comment 'digest of the graph that computed the features',
    quality_flags array<string> comment 'what is wrong: blank, blurred, dark, light, tiny; null without features',
    decoder string comment 'version of the decoder and of the packages that decode'
"""
COLUMNS: Final = f"""{_EMBEDDED},
    miniature binary comment '16 x 16 pixels of brightness and 4 x 4 of colour,
        from images.content or images.location; null without features, or if an earlier version made them'
"""
TRAINING_SCHEMA: Final = _EMBEDDED.replace("images.", "training_images.")
SCHEMA: Final = f"day date comment 'day on which the image arrived, from images.day', {COLUMNS}"

_COUNTS: Final = """
    SELECT COLUMNS('^(day|error|format|quality_flags)$'), count(*) AS count FROM features GROUP BY ALL ORDER BY ALL
"""
IMAGE_BYTES: Final = 2**18  # cost of embedding an image beyond decoding it, expressed as bytes of file size
TASK_BYTES: Final = 2**28


def extract_features(images: DataFrame, backbone: Backbone, limits: Limits = DEFAULT_LIMITS) -> DataFrame:
    """Embeds every distinct image lazily, per day if the images have a `day`.

    Args:
        images: with `path` and the columns of `contents.COLUMNS`.
        backbone: the graph; its file is sent to the executors.
        limits: limits for one image.

    Returns:
        The columns of `SCHEMA`, or of `COLUMNS` for images without a day.
    """
    key = ["day", "image_id"] if "day" in images.columns else ["image_id"]
    schema = parse_schema(SCHEMA if "day" in images.columns else COLUMNS)
    embed_batch = _batch_embedder(images.sparkSession, backbone, limits, schema.fieldNames())

    def embed_batches(batches: Iterator[pd.DataFrame], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for read in read_contents(pa.RecordBatch.from_pandas(batch, preserve_index=False)):
                yield embed_batch(read, key, cpu_timer)

    return rows_in_pandas(distinct_images(images, key), embed_batches, schema).frame


def embed_stored(
    images: StoredRows, places: pa.Table, backbone: Backbone, schema: str, limits: Limits = DEFAULT_LIMITS
) -> LazyRows:
    """Embeds stored images; the worker that embeds an image also reads its bytes.

    Args:
        images: the table of the images.
        places: one row per image from `StoredRows.locate`, with `length` in bytes; at least one.
        backbone: the graph; its file is sent to the executors.
        schema: DDL of the result, such as `COLUMNS`.
        limits: limits for one image.
    """
    struct = parse_schema(schema)
    embed_batch = _batch_embedder(images.spark, backbone, limits, struct.fieldNames())
    folder = images.folder
    weights = [length + IMAGE_BYTES for length in places["length"].to_pylist()]

    def embed_portions(portions: Iterator[pd.DataFrame], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(each.to_dict("records") for each in portions):
            for rows in read_portion(folder, portion, CONTENT_COLUMNS).combine_chunks().to_batches():
                for read in read_contents(rows):
                    yield embed_batch(read, ["image_id"], cpu_timer)

    return rows_in_pandas(share_rows(images.spark, places, weights, TASK_BYTES), embed_portions, struct)


def describe_features(features: Rows) -> dict[Day, Report]:
    """Counts the images with features by format and quality flag, and the others by reason, for each day."""
    return {day: _report_counts(counted) for day, counted in by_day(query(_COUNTS, features=features)).items()}


def _report_counts(counted: Sequence[Record]) -> Report:
    """Reports a day, from its images counted by error, format and quality flags; one with two flags has both."""
    reasons, formats, flags, flagged_count = Counter[str](), Counter[str](), Counter[str](), 0
    for row in counted:
        if row["error"] is not None:
            reasons[row["error"]] += row["count"]
        else:
            formats[row["format"]] += row["count"]
        flags.update(dict.fromkeys(row["quality_flags"] or (), row["count"]))
        flagged_count += row["count"] if row["quality_flags"] else 0
    numbers = {
        "readable_count": formats.total(),
        "rejected_count": reasons.total(),
        "low_quality_count": flagged_count,
    }
    tables = {"formats": markdown_table(["format", "images"], formats.most_common())}
    if reasons:
        tables["rejected"] = markdown_table(["reason", "images"], reasons.most_common())
    if flags:
        tables["low_quality"] = markdown_table(["quality", "images"], sorted(flags.items()))
    return Report(numbers, tables=tables)


def distinct_images(images: DataFrame, key: list[str]) -> DataFrame:
    """Keeps the first file by path of each image, with what its bytes are read from; moves none between executors."""
    readable = images.where(F.col("image_id").isNotNull())
    first_paths = readable.groupBy(*key).agg(F.min("path").alias("path"))
    columns = [*key, "path", *(name for name in choose_columns(images.columns) if name not in key)]
    return readable.select(*columns).join(F.broadcast(first_paths), [*key, "path"], "left_semi")


def _batch_embedder(
    spark: SparkSession, backbone: Backbone, limits: Limits, columns: list[str]
) -> Callable[[Contents, list[str], CpuTimer], pa.RecordBatch]:
    """Sends the graph to the workers; returns their function from contents and key columns to rows of features."""
    spark.addArtifacts(backbone.path, file=True)
    file_name, size, batch_size, fit = Path(backbone.path).name, backbone.size, backbone.batch_size, backbone.fit
    constants = {"backbone": backbone.digest, "decoder": DECODER}

    def embed_batch(read: Contents, key: list[str], cpu_timer: CpuTimer) -> pa.RecordBatch:
        cpu_timer.lap("read")
        sandbox = open_sandbox(Embedding(SparkFiles.get(file_name), size, batch_size, limits, FITS[fit]))
        embedded = sandbox.run(read.bytes, cpu_timer, read.reasons)
        repeated = {name: pa.repeat(value, embedded.num_rows) for name, value in constants.items()}
        keys = {name: read.rows[name] for name in key}
        arrays = {**keys, **repeated, **dict(zip(embedded.schema.names, embedded.columns, strict=True))}
        return pa.RecordBatch.from_arrays([arrays[name] for name in columns], columns)

    return embed_batch
