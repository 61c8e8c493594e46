"""Settled labels: what people decided about labelled images, on label issues and near-duplicates that conflict.

The files stay where they are; `training_split` takes the settled label instead of theirs.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.reviews.answers import BAD_IMAGE, NONE
from pipeline.reviews.reviews import SET_ASIDE
from pipeline.storage.stored_rows import StoredRows


def find_settled(reviews: StoredRows) -> DataFrame | None:
    """Finds `image_id` and `settled_label` of labelled images, null where the image is dropped; None without any.

    An image is dropped if its label is `NONE` or the answer `BAD_IMAGE`.
    """
    if not reviews.files:
        return None
    is_bad = F.col("problem").eqNullSafe(SET_ASIDE[BAD_IMAGE])
    decided = reviews.frame.where(F.col("day").isNull() & (F.col("problem").isNull() | is_bad))
    label = F.when(~is_bad & (F.col("label") != NONE), F.col("label"))
    return decided.select("image_id", label.alias("settled_label"))
