"""Reviewed images: images with a human label, as rows of `training_images`.

Their bytes come from the lake if they are stored there, because the landing zone may have been cleared.
"""

from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.contents import HAS_BYTES
from pipeline.images.image_files import OPENING_BYTES, TASK_BYTES
from pipeline.images.image_files import SCHEMA as IMAGES_SCHEMA
from pipeline.images.labels import SCHEMA
from pipeline.images.split import split_by_digest
from pipeline.reviews.answers import NONE
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame, open_table
from pipeline.storage.picked_rows import pick_frame
from pipeline.storage.stored_rows import StoredRows

FOLDER: Final = "reviews"  # first part of a reviewed image's path
LABELS: Final = pa.schema({"image_id": pa.string(), "day": pa.date32(), "label": pa.string(), "origin": pa.string()})


def list_reviewed(reviews: StoredRows) -> pa.Table:
    """Lists images with a human label in `LABELS`, each on its first day; collects about 200 bytes per image.

    Without reviews, no Spark job runs.
    """
    if not reviews.files:
        return LABELS.empty_table()
    used = reviews.frame.where("problem is null and day is not null and label is not null").where(
        F.col("label") != NONE
    )
    first = [F.min_by(name, "day").alias(name) for name in ("label", "origin")]
    table = used.groupBy("image_id").agg(F.min("day").alias("day"), *first).toArrow()
    return table.select(LABELS.names).cast(LABELS)


def list_days(reviewed: pa.Table) -> list[str]:
    """Lists the days of reviewed images, sorted."""
    return sorted({str(day) for day in reviewed["day"].to_pylist()})


def read_reviewed_images(images: StoredRows, reviewed: pa.Table) -> DataFrame:
    """Reads reviewed images, lazily: one row per image, in the columns of `labels.SCHEMA`, with the split by digest.

    Args:
        images: stored images of the reviewed days.
        reviewed: rows in `LABELS`; images that are no longer stored are left out.
    """
    ids = reviewed["image_id"].combine_chunks()
    places = images.locate(["image_id", "length"], lambda rows: pc.is_in(rows["image_id"], ids))
    if not places.num_rows:
        return make_frame(images.spark, parse_schema(SCHEMA))
    places = places.take(pc.index_in(places["image_id"].unique(), places["image_id"]))
    unpurged = _read_places(images, places).where(HAS_BYTES)
    frame = unpurged.join(F.broadcast(open_table(images.spark, reviewed.drop_columns("day"))), "image_id")
    path = F.concat_ws("/", F.lit(FOLDER), F.col("day").cast("string"), "path")
    described = frame.withColumns({"path": path, "split": split_by_digest(F.col("image_id"))})
    return described.to(parse_schema(SCHEMA))  # other columns are null


def _read_places(images: StoredRows, places: pa.Table) -> DataFrame:
    weights = [length + OPENING_BYTES for length in places["length"].to_pylist()]
    known = replace(images, schema=parse_schema(IMAGES_SCHEMA))
    return pick_frame(known, places, known.schema.names, weights, TASK_BYTES)
