"""The feature cache: which pictures were embedded before, by their bytes, the backbone and the decoder.

Frames of ids and of cached rows in, frames out; where the cached rows lie is `resources/feature_cache.py`. Image bytes
are touched by `missing_images` alone; between executors only ids move.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.features import COLUMNS, DECODER, SCHEMA, describe_features
from pipeline.preprocess import DAMAGED, EMPTY, NOT_AN_IMAGE, TOO_MANY_PIXELS, TRUNCATED
from pipeline.report import Number, Report, markdown_table, only_row
from pipeline.schema import parse_schema, select_columns

CACHE_SCHEMA: Final = f"{COLUMNS}, decoder string comment 'version of our decoding, and Pillow''s'"

LASTING_ERRORS: Final = (EMPTY, NOT_AN_IMAGE, TRUNCATED, DAMAGED, TOO_MANY_PIXELS)
"""Reasons that lie in the bytes. With any other, such as a time limit, the picture is tried again the next time."""


@dataclass(frozen=True)
class Sources:
    """Where the features of a day's distinct pictures came from, or those of a table without days.

    Attributes:
        hit_count: served from the cache.
        miss_count: embedded. A picture of several days of a run is embedded for the first of them, and a hit later.
    """

    hit_count: int
    miss_count: int


@dataclass(frozen=True)
class Embedded:
    """Features of pictures, of which only those not yet in the cache were embedded.

    Attributes:
        frame: lazy; the columns of `features.SCHEMA`, or of `features.COLUMNS` for images without a day.
        sources: by day, or under None for images without one; a day without pictures has none.
        embed_seconds: that embedding and storing the misses took, by the clock; 0 where there were none.
        cpu_seconds: that they took of all workers, by stage; empty where there were none.
        seconds_per_picture: of all the runs on record that embedded with this backbone; None where there is none.
    """

    frame: DataFrame
    sources: Mapping[date | None, Sources]
    embed_seconds: float
    cpu_seconds: Mapping[str, float]
    seconds_per_picture: float | None

    @property
    def hit_count(self) -> int:
        """Of all days."""
        return sum(each.hit_count for each in self.sources.values())

    @property
    def miss_count(self) -> int:
        """Of all days: as many pictures as were embedded."""
        return sum(each.miss_count for each in self.sources.values())


def locate_pictures(images: DataFrame, cached: DataFrame) -> DataFrame:
    """Finds every distinct picture in the cache, lazily, and reads ids alone of both.

    Args:
        images: with `image_id`, null where a file could not be read, and perhaps `day`.
        cached: rows of `CACHE_SCHEMA` with the name of their `file`. An id may be there in several files, since two
            runs may have embedded it at once, and only once in each.

    Returns:
        `image_id`; `days`, array<date> in order, one null for images without a day; `file`, null where the picture is
        not in the cache.
    """
    day = F.col("day") if "day" in images.columns else F.lit(None).cast("date")
    days = F.array_sort(F.collect_set(day)) if "day" in images.columns else F.array(F.first(day))
    pictures = images.where(F.col("image_id").isNotNull()).groupBy("image_id").agg(days.alias("days"))
    wanted = cached.where(F.col("decoder") == DECODER).join(
        F.broadcast(pictures.select("image_id")), "image_id", "left_semi"
    )
    best = F.min(F.struct(~_is_lasting(), "file"))["file"]
    return pictures.join(wanted.groupBy("image_id").agg(best.alias("file")), "image_id", "left")


def keep_lasting(cached: DataFrame) -> DataFrame:
    """The cached rows that need not be made again: features, and errors that lie in the bytes."""
    return cached.where(_is_lasting())


def count_sources(located: DataFrame) -> list[Row]:
    """Counts located pictures, in one job.

    Returns:
        For each day, or for null: `hit_count` and `miss_count` as in `Sources`, and `files`, the names of those that
        hold the hits.
    """
    occurrences = located.select(F.posexplode("days").alias("position", "day"), "file")
    is_miss = F.col("file").isNull() & (F.col("position") == 0)
    return (
        occurrences.groupBy("day")
        .agg(
            F.count_if(~is_miss).alias("hit_count"),
            F.count_if(is_miss).alias("miss_count"),
            F.collect_set("file").alias("files"),
        )
        .collect()
    )


def missing_images(images: DataFrame, located: DataFrame, days: list[date | None]) -> DataFrame:
    """The images that are not in the cache, bytes included, without their day.

    Args:
        images: with `image_id`, `path` and `content`, and perhaps `day`.
        located: as `locate_pictures` gives it.
        days: that have misses; the bytes of other days are not read.
    """
    if "day" in images.columns:  # one path may hold one picture on two days, and only one of them is embedded
        images = images.where(F.col("day").isin(days)).withColumn("path", F.concat_ws("/", "day", "path"))
    missing = located.where(F.col("file").isNull()).select("image_id")
    return images.select("image_id", "path", "content").join(F.broadcast(missing), "image_id", "left_semi")


def join_features(images: DataFrame, cached: DataFrame) -> DataFrame:
    """Gives every distinct picture its cached row, lazily; per day where the images have a `day`.

    Returns:
        The columns of `features.SCHEMA`, or of `features.COLUMNS` for images without a day.
    """
    located = locate_pictures(images, cached).where(F.col("file").isNotNull())
    rows = cached.join(F.broadcast(located), ["image_id", "file"])
    schema = parse_schema(SCHEMA if "day" in images.columns else COLUMNS)
    return select_columns(rows.select("*", F.explode("days").alias("day")), schema)


def describe_embedded(embedded: Embedded, core_hour_dollars: float) -> Callable[[DataFrame], Report]:
    """As `describe_features`, with what came from the cache and what it cost; speeds and costs are of the whole run.

    Args:
        embedded: of the run.
        core_hour_dollars: price of one core for one hour.
    """

    def describe(features: DataFrame) -> Report:
        report = describe_features(features)
        day = only_row(features.select(F.any_value("day")))[0] if "day" in features.columns else None
        sources = embedded.sources[day]
        numbers: dict[str, Number] = {
            "cache_hit_count": sources.hit_count,
            "cache_hit_share": sources.hit_count / (sources.hit_count + sources.miss_count),
            "embedded_count": sources.miss_count,
        }
        tables = dict(report.tables)
        if embedded.miss_count:
            cpu_seconds = sum(embedded.cpu_seconds.values())
            numbers["embedded_per_second"] = embedded.miss_count / embedded.embed_seconds
            numbers["cpu_seconds"] = cpu_seconds
            numbers["dollars_per_million"] = cpu_seconds / embedded.miss_count * 1e6 / 3600 * core_hour_dollars
            tables["cpu"] = _stage_table(embedded.cpu_seconds, embedded.miss_count)
        if embedded.seconds_per_picture is not None:
            numbers["seconds_saved"] = sources.hit_count * embedded.seconds_per_picture
        return Report({**report.numbers, **numbers}, report.texts, tables, report.pictures)

    return describe


def _stage_table(cpu_seconds: Mapping[str, float], picture_count: int) -> str:
    """Where the time of the workers went: to start, read, decode, resize, infer and write."""
    rows = [
        [stage, f"{seconds:.1f}", f"{1000 * seconds / picture_count:.2f}"] for stage, seconds in cpu_seconds.items()
    ]
    return markdown_table(["stage", "CPU-seconds", "ms per picture"], rows)


def _is_lasting() -> Column:
    return F.col("error").isNull() | F.col("error").isin(*LASTING_ERRORS)
