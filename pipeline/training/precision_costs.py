"""Precision costs: what int8 loses and gains against fp32, measured on the user's own labelled pictures.

What follows from them is `precision.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.storage.vectors import to_matrix
from pipeline.training.bake_off import compare_cpu_seconds
from pipeline.training.classifier import fit_uncalibrated
from pipeline.training.fitting import ClassifierParams

MAX_IMAGES: Final = 4_000
"""On which accuracy is measured, train and holdout together: each is embedded in both precisions, once."""

MAX_COSINES: Final = 1_000
"""Pictures whose two vectors are compared; they are brought to the driver, 10 MB with 1,280 features."""


@dataclass(frozen=True)
class PrecisionCosts:
    """What int8 costs and brings against fp32, on the same pictures.

    Attributes:
        fp32_accuracy: of the default head on the holdout, 0 to 1.
        int8_accuracy: the same.
        holdout_count: pictures that they are of.
        picture_count: those and the ones that the head was fitted on.
        mean_cosine: between the two vectors of a picture.
        smallest_cosine: the same.
        fp32_pictures_per_second: decoded and embedded by one core.
        int8_pictures_per_second: the same.
    """

    fp32_accuracy: float
    int8_accuracy: float
    holdout_count: int
    picture_count: int
    mean_cosine: float
    smallest_cosine: float
    fp32_pictures_per_second: float
    int8_pictures_per_second: float

    @property
    def loss(self) -> float:
        """Accuracy that int8 loses, 0 to 1; below 0 where it gains."""
        return self.fp32_accuracy - self.int8_accuracy

    @property
    def speedup(self) -> float:
        """How many times as fast int8 is."""
        return self.int8_pictures_per_second / self.fp32_pictures_per_second


def measure_costs(
    fp32: Backbone, int8: Backbone, embed: Callable[[Backbone], DataFrame], contents: Sequence[bytes]
) -> PrecisionCosts:
    """Fits the default head on the features of both, and measures both.

    Args:
        fp32: the graph.
        int8: its twin.
        embed: from a backbone to its labelled features, in the columns of `labels.FEATURES_SCHEMA`; of at most
            `MAX_IMAGES` pictures, the same for both.
        contents: the bytes of some pictures, to measure speed on, in turns.

    Raises:
        TrainingError: where nothing can be judged: one label, no holdout; nothing is embedded in int8, then.
    """
    exact = embed(fp32)
    exact_report = fit_uncalibrated(exact, ClassifierParams()).report
    rounded = embed(int8)
    rounded_report = fit_uncalibrated(rounded, ClassifierParams()).report
    cosines = measure_cosines(exact, rounded)
    fp32_seconds, int8_seconds = compare_cpu_seconds([fp32, int8], contents)
    return PrecisionCosts(
        fp32_accuracy=exact_report["accuracy"],
        int8_accuracy=rounded_report["accuracy"],
        holdout_count=exact_report["holdout_count"],
        picture_count=exact_report["train_count"] + exact_report["holdout_count"],
        mean_cosine=float(cosines.mean()),
        smallest_cosine=float(cosines.min()),
        fp32_pictures_per_second=1 / fp32_seconds,
        int8_pictures_per_second=1 / int8_seconds,
    )


def measure_cosines(exact: DataFrame, rounded: DataFrame) -> np.ndarray:
    """The cosine of every picture's two vectors, for the `MAX_COSINES` pictures with the least digests.

    Two vectors of zeros are the same, one alone has nothing of the other.
    """
    readable = F.col("features").isNotNull()
    pairs = (
        exact.where(readable)
        .select("image_id", F.col("features").alias("exact"))
        .join(rounded.where(readable).select("image_id", F.col("features").alias("rounded")), "image_id")
        .orderBy("image_id")
        .limit(MAX_COSINES)
        .toArrow()
    )
    one, other = to_matrix(pairs["exact"], np.float64), to_matrix(pairs["rounded"], np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    same = (one == other).all(axis=1).astype(np.float64)
    return np.divide((one * other).sum(axis=1), norms, out=same, where=norms > 0)


def sample_labelled(training_images: DataFrame) -> list[str]:
    """The ids of the `MAX_IMAGES` pictures with the least digests: always the same ones."""
    pictures = training_images.where(F.col("image_id").isNotNull()).select("image_id").distinct()
    return [row["image_id"] for row in pictures.orderBy("image_id").limit(MAX_IMAGES).collect()]
