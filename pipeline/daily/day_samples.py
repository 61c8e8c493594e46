"""Day samples: embeddings and confidences of a limited number of images of each day, on the driver.

One Spark query serves the estimate of a day's difficulty and the comparison of its images with the training set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.drift.image_drift import DAY_LIMIT, Samples
from pipeline.similarity.samples import sample_days, split_days, unpack_vectors
from pipeline.training.classifier import Classifier, predict_at


@dataclass(frozen=True)
class DaySample:
    """A random sample of the images of a day that have features; the same images give the same sample.

    Attributes:
        image_ids: digests of at most `DAY_LIMIT` images.
        vectors: float32 `[n, dimension]` of length 1.
        confidence: before calibration, float64 `[n]`.
        is_flagged: whether an image has one of the flags whose images are not answered, bool `[n]`.
        image_count: images of the day that have features.
    """

    image_ids: list[str]
    vectors: np.ndarray
    confidence: np.ndarray
    is_flagged: np.ndarray
    image_count: int


def sample_predicted(
    features: DataFrame, classifier: Classifier, review_flags: Sequence[str] = ()
) -> dict[date, DaySample]:
    """Samples and predicts the images of each day.

    Bound: `DAY_LIMIT` vectors a day on the driver, 5 MB of 1,280 features.

    Args:
        features: rows of `image_features` of some days; those of another backbone or decoder are left out.
        classifier: the classifier.
        review_flags: quality flags whose images are not answered.
    """
    is_known = F.col("backbone") == classifier.backbone
    if "decoder" in features.columns:
        is_known &= F.coalesce("decoder", F.lit("")) == classifier.decoder
    flags = F.col("quality_flags") if "quality_flags" in features.columns else F.lit(None).cast("array<string>")
    is_flagged = F.coalesce(
        F.arrays_overlap(flags, F.array(*map(F.lit, review_flags)).cast("array<string>")), F.lit(False)
    )
    predicted = predict_at(sample_days(features.where(is_known), DAY_LIMIT), classifier, 1.0)
    columns = ("day", "image_id", "features", "rank", "day_count", "confidence")
    table = predicted.select(*columns, is_flagged.alias("is_flagged")).toArrow()
    return {
        date.fromisoformat(day): DaySample(
            *unpack_vectors(rows),
            rows["confidence"].to_numpy(),
            np.array(rows["is_flagged"], bool),
            rows["day_count"][0].as_py(),
        )
        for day, rows in split_days(table).items()
    }


def list_vectors(samples: Mapping[date, DaySample]) -> Samples:
    """The samples in the form that `compare_images` takes."""
    return {str(day): (sample.image_ids, sample.vectors) for day, sample in samples.items()}
