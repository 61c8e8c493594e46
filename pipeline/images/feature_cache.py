"""The feature cache: which pictures were embedded before, by their bytes, the backbone and the decoder.

The driver looks ids up, in the columns of files; bytes of pictures and vectors are touched by workers alone. Which
table the cache is, and what it costs, is `resources/lake/feature_cache.py`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.embed.backbone import Backbone
from pipeline.embed.decode import DAMAGED, EMPTY, NOT_AN_IMAGE, TOO_MANY_PIXELS, TRUNCATED, UNSUPPORTED
from pipeline.embed.embedding import CRASHED
from pipeline.embed.sandbox import CRASHED_BACKBONE
from pipeline.images.features import COLUMNS, DECODER
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.rows import LazyRows, rows_in_arrow, rows_of
from pipeline.storage.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows, read_portion, share_rows

CACHE_SCHEMA: Final = f"{COLUMNS}, decoder string comment 'version of our decoding, and of the packages that decode'"

LASTING_ERRORS: Final = (EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED, DAMAGED, CRASHED, CRASHED_BACKBONE)
"""Reasons that lie in the bytes. With any other, such as a time limit, the picture is tried again the next time."""

ROW_BYTES: Final = 5_000
"""Of 1,280 features, about."""

TASK_BYTES: Final = 32 * 2**20


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
        rows: the columns of `features.SCHEMA`, or of `features.COLUMNS` for images without a day.
        sources: by day, or under None for images without one; a day without pictures has none.
        embed_seconds: that embedding and storing the misses took, by the clock; 0 where there were none.
        cpu_seconds: that they took of all workers, by stage; empty where there were none.
        seconds_per_picture: of all the runs on record that embedded with this backbone; None where there is none.
    """

    rows: LazyRows
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


def find_images(images: StoredRows, ids: Collection[str] | None = None) -> pa.Table:
    """Finds one row of every distinct picture of every day; reads ids and lengths alone.

    Args:
        images: with `image_id`, null where a file could not be read, and `length`.
        ids: of the pictures that are wanted; None for all.

    Returns:
        `image_id`, `length` and the columns of `stored.PLACE`, the days in order.
    """

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        is_picture = pc.is_valid(rows["image_id"])
        return (
            is_picture if ids is None else pc.and_(is_picture, pc.is_in(rows["image_id"], pa.array(ids, pa.string())))
        )

    return _first_of_each(images.locate(["image_id", "length"], keep).sort_by("day"), ["day", "image_id"])


def find_cached(cached: StoredRows, ids: pa.ChunkedArray, max_pixels: int, even_fleeting: bool = False) -> pa.Table:
    """Finds rows of pictures in the cache; reads all ids there.

    Args:
        cached: rows of `CACHE_SCHEMA`. An id may be there several times, since two runs may have embedded it at once.
        ids: of the pictures.
        max_pixels: that a picture may have; one rejected for fewer, when that was the limit, is tried again.
        even_fleeting: whether errors count that do not lie in the bytes, and that are tried again the next time.

    Returns:
        `image_id` and the columns of `stored.PLACE`, one row for each picture that is there.
    """

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        wanted = pc.and_(pc.is_in(rows["image_id"], ids), pc.equal(rows["decoder"], DECODER))
        if even_fleeting:
            return wanted
        errors, pixels = rows["error"], pc.multiply(rows["width"].cast(pa.int64()), rows["height"])
        is_too_large = pc.and_(pc.equal(errors, TOO_MANY_PIXELS), pc.greater(pixels, max_pixels))
        lasting = pc.or_(pc.is_in(errors, pa.array([None, *LASTING_ERRORS])), pc.fill_null(is_too_large, False))
        return pc.and_(wanted, lasting)

    columns = ["image_id", "decoder", "error", "width", "height"]
    return _first_of_each(cached.locate(columns, keep), ["image_id"])


def find_missing(pictures: pa.Table, found: pa.Table) -> pa.Table:
    """The pictures that are not in the cache, each on the first of its days."""
    missing = pc.invert(pc.is_in(pictures["image_id"], found["image_id"]))
    return _first_of_each(pictures.filter(missing), ["image_id"])


def count_sources(pictures: pa.Table, missing: pa.Table) -> dict[date | None, Sources]:
    """Counts hits and misses of every day that has pictures, or of None."""
    all_counts, miss_counts = Counter(pictures["day"].to_pylist()), Counter(missing["day"].to_pylist())
    return {day: Sources(count - miss_counts[day], miss_counts[day]) for day, count in all_counts.items()}


def serve_features(
    cached: StoredRows, found: pa.Table, pictures: pa.Table, backbone: Backbone, schema: str
) -> LazyRows:
    """Gives every picture its cached row; workers copy them from file to file.

    Args:
        cached: the table of the cache.
        found: rows of all the pictures in it.
        pictures: distinct on every day, with `day` and `image_id`.
        backbone: that the rows are of; its digest is the column that the table is partitioned by.
        schema: DDL of the result, `features.SCHEMA` or `features.COLUMNS`.
    """
    struct = parse_schema(schema)
    arrow_schema = to_arrow_schema(struct, timezone="UTC")
    if pictures.num_rows == 0:
        return rows_of(cached.spark.createDataFrame([], struct))
    places = found.take(pc.index_in(pictures["image_id"], found["image_id"]))
    places = places.set_column(places.schema.get_field_index("day"), "day", pictures["day"])
    folder, digest = cached.folder, backbone.digest
    stored = [name for name in arrow_schema.names if name not in ("day", "backbone")]

    def copy_portions(batches: Iterator[pa.RecordBatch], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(batch.to_pylist() for batch in batches):
            rows = read_portion(folder, portion, stored)
            said = {"day": portion["day"], "backbone": digest}
            columns = [
                rows[field.name]
                if field.name in stored
                else pa.repeat(pa.scalar(said[field.name], field.type), len(rows))
                for field in arrow_schema
            ]
            cpu_timer.lap("read")
            yield from pa.table(columns, schema=arrow_schema).combine_chunks().to_batches()

    weights = [ROW_BYTES] * places.num_rows
    return rows_in_arrow(share_rows(cached.spark, places, weights, TASK_BYTES), copy_portions, struct)


def _first_of_each(rows: pa.Table, keys: list[str]) -> pa.Table:
    numbered = rows.select(keys).append_column("number", pa.array(np.arange(rows.num_rows)))
    return rows.take(numbered.group_by(keys, use_threads=False).aggregate([("number", "min")])["number_min"])
