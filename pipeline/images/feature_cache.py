"""The feature cache: no image is embedded twice with the same backbone and decoder.

The driver looks up ids in the cache's files; only workers read image bytes and vectors. The table of the cache is
`resources/lake/feature_cache.py`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.backbone import Backbone
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.images.cache_lookup import (
    Sources,
    count_sources,
    describe_decoders,
    find_cached,
    find_images,
    find_missing,
)
from pipeline.images.features import COLUMNS, SCHEMA, TRAINING_SCHEMA, embed_stored
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.digest_index import RowNumbers
from pipeline.storage.local_frames import make_frame
from pipeline.storage.object_stores import is_uri
from pipeline.storage.rows import Appended, LazyRows, rows_in_arrow, rows_of, rows_on_driver
from pipeline.storage.stored_rows import StoredRows, complete_rows, read_portion, share_rows

CACHE_SCHEMA: Final = COLUMNS

ROW_BYTES: Final = 5_000  # approximate size of a row with 1,280 features
TASK_BYTES: Final = 32 * 2**20
DRIVER_ROWS: Final = 2**12  # of .04 ms each: less than a Spark job takes to start
DRIVER_PORTIONS: Final = 2**7  # each is read from a row group of about a millisecond


class CacheTable(Protocol):
    """The rows of one backbone in the table of the cache."""

    def read(self) -> StoredRows:
        """All rows, in the columns of `CACHE_SCHEMA`."""

    def find_rows(self, rows: StoredRows, ids: pa.ChunkedArray) -> RowNumbers:
        """Finds those of the rows that may have one of these ids, by file; files that it leaves out may have any."""

    def append(self, rows: LazyRows) -> Appended:
        """Computes rows and adds them; those that were computed stay if others fail."""

    def list_appended(self) -> Sequence[Appended]:
        """The last appends."""

    def check_content(self, days: Sequence[str]) -> None:
        """Raises an error if the image bytes of one of these days were purged."""


@dataclass(frozen=True)
class Embedded:
    """Features of images; only images that were not in the cache were embedded.

    Attributes:
        rows: the columns of `features.SCHEMA`, or of `features.TRAINING_SCHEMA` for images without a day.
        sources: hits and misses by day, under None for images without one; no entry for a day without images.
        embed_seconds: wall-clock time to embed and store the misses; 0 if there were none.
        cpu_seconds: CPU time of all workers for the misses, by stage; empty if there were none.
        seconds_per_image: mean wall-clock time per image in the last runs of this backbone; None without any.
    """

    rows: LazyRows
    sources: Mapping[date | None, Sources]
    embed_seconds: float
    cpu_seconds: Mapping[str, float]
    seconds_per_image: float | None

    @property
    def hit_count(self) -> int:
        """Hits on all days."""
        return sum(each.hit_count for each in self.sources.values())

    @property
    def miss_count(self) -> int:
        """Misses on all days, which is the number of images embedded."""
        return sum(each.miss_count for each in self.sources.values())


def embed_with_cache(
    images: StoredRows,
    backbone: Backbone,
    cache: CacheTable,
    limits: Limits = DEFAULT_LIMITS,
    ids: Collection[str] | None = None,
    log: Callable[[str], object] = lambda message: None,
) -> Embedded:
    """Embeds the distinct images that are not in the cache and serves all features from it.

    The driver reads the ids of the images, and of the cached rows that an index cannot exclude. It keeps about 200
    bytes per image of the run. Workers read the bytes of misses only.

    Args:
        images: with the columns of `contents.COLUMNS` and optionally `day`.
        backbone: the graph; its file is not opened if every image is a hit.
        cache: the cached rows of this backbone.
        limits: limits for one image.
        ids: images to embed; None for all.
        log: logs a sentence before images are embedded again because the decoder has changed.

    Raises:
        Exception: from `cache.check_content`, or from `cache.append`, which keeps what was embedded.
    """
    wanted = find_images(images, ids)
    cached, former = cache.read(), dict[str, str]()
    ids_of_run = wanted["image_id"]
    among = cache.find_rows(cached, ids_of_run)
    found = find_cached(cached, ids_of_run, limits.pixels, former=former, among=among)
    missing = find_missing(wanted, found)
    again = [former[image_id] for image_id in missing["image_id"].to_pylist() if image_id in former] if former else []
    if again:
        log(describe_decoders(Counter(again)))
    cache.check_content(sorted({str(day) for day in missing["day"].to_pylist() if day}))
    appended = None
    if missing.num_rows:
        appended = cache.append(embed_stored(images, missing, backbone, CACHE_SCHEMA, limits))
        added = replace(cached, files=appended.files)
        new = find_cached(added, missing["image_id"], limits.pixels, accept_transient=True)
        found = pa.concat_tables([found, new])
    schema = SCHEMA if "day" in images.schema.names else TRAINING_SCHEMA
    return Embedded(
        serve_features(cached, found, wanted, backbone, schema),
        count_sources(wanted, missing),
        appended.seconds if appended else 0.0,
        appended.cpu_seconds if appended else {},
        _seconds_per_image(cache.list_appended()),
    )


def _seconds_per_image(runs: Sequence[Appended]) -> float | None:
    image_count = sum(run.row_count for run in runs)
    return sum(run.seconds for run in runs) / image_count if image_count else None


def serve_features(cached: StoredRows, found: pa.Table, wanted: pa.Table, backbone: Backbone, schema: str) -> LazyRows:
    """Looks up the cached row of every image; workers copy rows from file to file, or the driver if they are few.

    Args:
        cached: the table of the cache.
        found: places of all the images in the cache.
        wanted: images, distinct on each day, with `day` and `image_id`.
        backbone: backbone of the rows; its digest is the partition column of the cache.
        schema: DDL of the result, `features.SCHEMA` or `features.TRAINING_SCHEMA`.
    """
    struct = parse_schema(schema)
    arrow_schema = to_arrow_schema(struct)
    if wanted.num_rows == 0:
        return rows_of(make_frame(cached.spark, struct))
    places = found.take(pc.index_in(wanted["image_id"], found["image_id"]))
    places = places.set_column(places.schema.get_field_index("day"), "day", wanted["day"])
    folder, digest = cached.folder, backbone.digest
    stored = [name for name in arrow_schema.names if name not in ("day", "backbone")]

    def copy_portions(batches: Iterator[pa.RecordBatch], cpu_timer: CpuTimer) -> Iterator[pa.RecordBatch]:
        for portion in chain.from_iterable(batch.to_pylist() for batch in batches):
            constants = {"day": portion["day"], "backbone": digest}
            rows = complete_rows(read_portion(folder, portion, stored), constants, arrow_schema)
            cpu_timer.lap("read")
            yield from rows.combine_chunks().to_batches()

    portions = share_rows(cached.spark, places, [ROW_BYTES] * places.num_rows, TASK_BYTES)
    is_light = places.num_rows <= DRIVER_ROWS and portions.rows.num_rows <= DRIVER_PORTIONS and not is_uri(folder)
    return (rows_on_driver if is_light else rows_in_arrow)(portions, copy_portions, struct)
