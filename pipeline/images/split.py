"""The split: the names of its two sides, and the side that an image's digest decides."""

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

TRAIN: Final = "train"


HOLDOUT: Final = "holdout"


SPLIT_FOLDERS: Final = {"train": TRAIN, "validation": HOLDOUT, "test": HOLDOUT, "holdout": HOLDOUT}


HOLDOUT_PERCENT: Final = 20


def split_by_digest(image_id: Column) -> Column:
    """`holdout` for a fixed fifth of all pictures, told from the first 32 bits of the digest, else `train`."""
    share = F.conv(F.substring(image_id, 1, 8), 16, 10).cast("long") % 100
    return F.when(share < HOLDOUT_PERCENT, HOLDOUT).otherwise(TRAIN)
