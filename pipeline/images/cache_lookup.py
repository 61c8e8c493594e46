"""Cache lookup: which images of a run are in the feature cache, on the driver and by ids alone."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.file_kinds import DECODER
from pipeline.embed.reasons import LASTING_REASONS, TOO_MANY_PIXELS
from pipeline.storage.digest_index import RowNumbers
from pipeline.storage.stored_rows import StoredRows


@dataclass(frozen=True)
class Sources:
    """Hits and misses among the distinct images of a day, or of a table without days.

    An image on several days of a run is a miss on the first and a hit on the others.
    """

    hit_count: int
    miss_count: int


def find_images(images: StoredRows, ids: Collection[str] | None = None) -> pa.Table:
    """Finds one row per day and distinct image, among these ids if they are given.

    Returns:
        `image_id`, `length` and the columns of `stored_rows.PLACE`, ordered by day.
    """

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        is_image = pc.is_valid(rows["image_id"])
        return is_image if ids is None else pc.and_(is_image, pc.is_in(rows["image_id"], pa.array(ids, pa.string())))

    return _first_of_each(images.locate(["image_id", "length"], keep).sort_by("day"), ["day", "image_id"])


def find_cached(
    cached: StoredRows,
    ids: pa.ChunkedArray,
    max_pixels: int,
    accept_transient: bool = False,
    former: dict[str, str] | None = None,
    among: RowNumbers | None = None,
) -> pa.Table:
    """Finds images in the cache, where concurrent runs may have stored an id more than once.

    Args:
        cached: rows of `CACHE_SCHEMA`.
        ids: ids of the images.
        max_pixels: current limit; an image that was rejected under a lower limit is not found.
        accept_transient: whether to find rows whose error was not caused by the bytes; else they are embedded again.
        former: gets the decoders, by `image_id`, of images that another one decoded, which are not found.
        among: numbers of the rows to consider, by path of their file; all rows of other files.

    Returns:
        `image_id` and the columns of `stored_rows.PLACE`, one row per image found.
    """

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        is_wanted, is_current = pc.is_in(rows["image_id"], ids), pc.equal(rows["decoder"], DECODER)
        if former is not None:
            others = rows.filter(pc.and_not(is_wanted, is_current))
            former.update(zip(others["image_id"].to_pylist(), others["decoder"].to_pylist(), strict=True))
        wanted = pc.and_(is_wanted, is_current)
        if accept_transient:
            return wanted
        errors, pixels = rows["error"], pc.multiply(rows["width"].cast(pa.int64()), rows["height"])
        is_too_large = pc.and_(pc.equal(errors, TOO_MANY_PIXELS), pc.fill_null(pc.greater(pixels, max_pixels), True))
        lasting = pc.or_(pc.is_in(errors, pa.array([None, *LASTING_REASONS])), pc.fill_null(is_too_large, False))
        return pc.and_(wanted, lasting)

    columns = ["image_id", "decoder", "error", "width", "height"]
    return _first_of_each(cached.locate(columns, keep, among), ["image_id"])


def find_missing(wanted: pa.Table, found: pa.Table) -> pa.Table:
    """Images that are not in the cache, each on its first day."""
    missing = pc.invert(pc.is_in(wanted["image_id"], found["image_id"]))
    return _first_of_each(wanted.filter(missing), ["image_id"])


def count_sources(wanted: pa.Table, missing: pa.Table) -> dict[date | None, Sources]:
    """Counts hits and misses by day; the key is None for images without a day."""
    all_counts, miss_counts = Counter(wanted["day"].to_pylist()), Counter(missing["day"].to_pylist())
    return {day: Sources(count - miss_counts[day], miss_counts[day]) for day, count in all_counts.items()}


def describe_decoders(decoders: Counter[str]) -> str:
    """Describes images that other decoders embedded, counted by decoder."""
    former = " and ".join(f"by {name!r}" for name in sorted(decoders))
    return (
        f"{decoders.total():,} images were embedded {former} and are embedded again by {DECODER!r}: features of two"
        " decoders must not meet one classifier"
    )


def _first_of_each(rows: pa.Table, keys: list[str]) -> pa.Table:
    numbered = rows.select(keys).append_column("number", pa.array(np.arange(rows.num_rows)))
    return rows.take(numbered.group_by(keys, use_threads=False).aggregate([("number", "min")])["number_min"])
