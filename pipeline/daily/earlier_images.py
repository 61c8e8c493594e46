"""Earlier images: which images of a day were sent before, in another encoding or size.

The miniatures of the days tell. Neither bytes nor features are read, so a day gives the same after its bytes were
purged.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.miniature import BYTES
from pipeline.similarity.miniatures import find_equal, home_keys, measure_quarters, near_keys
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows

SCHEMA: Final = """
    day date comment 'day of the image, from image_features.day',
    image_id string comment 'the image, from image_features.image_id',
    near_duplicate_of string comment 'the earlier image, from image_features.image_id'
"""
EARLIER_DAYS: Final = 31
DRIVER_ROWS: Final = 2**19  # images of all days; 400 MB
BUCKET_ROWS: Final = 2**16  # approximate, of a task
_FOUND: Final = "day date, image_id string, earlier_day date, near_duplicate_of string"
_STORED: Final = "day date, image_id string, miniature binary"


def list_earlier(days: Collection[date]) -> list[date]:
    """Lists these days and the `EARLIER_DAYS` before each, in order."""
    return sorted({day - timedelta(days=ago) for day in days for ago in range(EARLIER_DAYS + 1)})


def find_earlier_images(features: StoredRows, days: Sequence[date]) -> pa.Table | DataFrame:
    """Finds, for each image of the days, the first equal one of the `EARLIER_DAYS` before, or of its own day.

    Of images of one day, the one with the smallest digest is the first. The driver holds 800 bytes an image, up to
    `DRIVER_ROWS`; a task of more holds about `BUCKET_ROWS`, unless most images look alike.

    Args:
        features: rows of `features.SCHEMA`, of the days of `list_earlier`; without `miniature` images have no equal.
        days: the days.

    Returns:
        The columns of `SCHEMA`, without images that are new; a table if the driver found them.
    """
    schema, row_count = parse_schema(SCHEMA), sum(file.row_count for file in features.files)
    if row_count <= DRIVER_ROWS:
        rows = features.locate(["image_id", "miniature"], lambda each: pc.is_valid(each["miniature"]))
        return find_first(rows, days).select(schema.names)
    found = _find_in_buckets(features.frame, days, row_count // BUCKET_ROWS)
    return found.select(*schema.names).to(schema)


def find_first(rows: pa.Table, days: Collection[date]) -> pa.Table:
    """Finds the first equal image of the images of these days, in the columns of `_FOUND`; rows have a `miniature`."""
    rows = rows.sort_by([("day", "ascending"), ("image_id", "ascending")])
    ids = pc.dictionary_encode(rows["image_id"].combine_chunks()).indices.to_numpy()
    numbers = rows["day"].cast(pa.int32()).to_numpy()
    wanted = np.flatnonzero(pc.is_in(rows["day"], pa.array(sorted(days), pa.date32())).to_numpy())
    first = np.arange(len(ids))
    for some, others in find_equal(_open(rows["miniature"]), wanted):
        is_earlier = (ids[others] != ids[some]) & (numbers[some] - numbers[others] <= EARLIER_DAYS)
        np.minimum.at(first, some[is_earlier], others[is_earlier])
    marked = np.flatnonzero(first != np.arange(len(ids)))
    images, earlier = (rows.select(["day", "image_id"]).take(pa.array(each)) for each in (marked, first[marked]))
    return pa.table([*images.columns, *earlier.columns], ["day", "image_id", "earlier_day", "near_duplicate_of"])


def _open(miniatures: pa.ChunkedArray) -> np.ndarray:
    return np.frombuffer(b"".join(miniatures.to_pylist()), np.uint8).reshape(len(miniatures), BYTES)


def _find_in_buckets(features: DataFrame, days: Collection[date], bucket_count: int) -> DataFrame:
    """Finds the first equal image on executors: an image lies in the bucket of its key, one of the days in all near."""
    stored = features.where("miniature is not null").select("day", "image_id", "miniature")
    spread = stored.mapInArrow(_spread(days, bucket_count), f"bucket int, {_STORED}")

    def find(rows: pa.Table) -> pa.Table:
        return find_first(rows, days)

    found = spread.groupBy("bucket").applyInArrow(find, _FOUND)
    first = F.min(F.struct("earlier_day", "near_duplicate_of")).alias("first")
    return found.groupBy("day", "image_id").agg(first).select("day", "image_id", "first.*")


def _spread(
    days: Collection[date], bucket_count: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    wanted = pa.array(sorted(days), pa.date32())

    def spread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            quarters = measure_quarters(_open(batch["miniature"]))
            is_wanted = pc.is_in(batch["day"], wanted).to_numpy(zero_copy_only=False)
            rows, keys = near_keys(quarters[is_wanted])
            rows = np.concatenate([np.flatnonzero(is_wanted)[rows], np.flatnonzero(~is_wanted)])
            buckets = np.concatenate([keys, home_keys(quarters[~is_wanted])]) % bucket_count
            rows, buckets = np.unique(np.stack([rows, buckets]), axis=1)
            placed = batch.take(pa.array(rows))
            yield pa.RecordBatch.from_arrays(
                [pa.array(buckets, pa.int32()), *placed.columns], ["bucket", *placed.schema.names]
            )

    return spread
