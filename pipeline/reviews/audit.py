"""The audit: a simple random sample of every day's answers, and what its labels tell of the accuracy in production.

Uncertain and novel pictures are chosen because they are hard; only the sample stands for all the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.evaluation.intervals import interval_of_share

KEY: Final = "daylight audit"
"""What is hashed with day and picture, so that the draw has nothing to do with the split, which is the digest's own."""


@dataclass(frozen=True)
class AuditSize:
    """How many pictures of a day a person is asked to look at, whatever the answers are.

    Attributes:
        share: of the day's distinct pictures that have an answer, 0 to 1.
        least: at least so many, or all where there are fewer.
        most: at most so many.
    """

    share: float = 0.02
    least: int = 10
    most: int = 100


@dataclass(frozen=True)
class Stratum:
    """The sample of one day.

    Attributes:
        picture_count: that the sample stands for.
        answered_count: pictures of the sample that a person labelled; one at least.
        right_count: of which the label is the predicted one.
    """

    picture_count: float
    answered_count: int
    right_count: int


@dataclass(frozen=True)
class ProductionAccuracy:
    """An accuracy with its 95 % interval, shares from 0 to 1."""

    share: float
    low: float
    high: float


def draw_audit(pictures: DataFrame, size: AuditSize) -> DataFrame:
    """Draws the sample of every day: those with the smallest SHA-256 of key, day and picture.

    It is the same at every run, and knows neither answers nor paths. Every picture of a day has the same chance.

    Args:
        pictures: one row for each picture of each day, with `day` and `image_id`.
        size: of the sample.

    Returns:
        The same rows with `audit_weight`: how many pictures of the day a drawn one stands for, null for all others.
    """
    day = Window.partitionBy("day")
    draw = F.sha2(F.concat_ws(" ", F.lit(KEY), F.col("day").cast("string"), "image_id"), 256)
    count, rank = F.count("*").over(day), F.row_number().over(day.orderBy(draw, "image_id"))
    wanted = F.least(F.greatest(F.ceil(F.col("day_count") * size.share), F.lit(size.least)), F.lit(size.most))
    numbered = pictures.withColumns({"day_count": count, "draw": rank})
    drawn = numbered.withColumn("size", F.least(wanted, "day_count"))
    weight = F.when(F.col("draw") <= F.col("size"), F.col("day_count") / F.col("size"))
    return drawn.withColumn("audit_weight", weight).drop("day_count", "draw", "size")


def estimate_accuracy(strata: Sequence[Stratum]) -> ProductionAccuracy | None:
    """The accuracy over all pictures of these days, told from their samples; None where nobody labelled any.

    Days are sampled at different rates, so that each counts by its pictures (the stratified estimator), not by its
    labels. The interval is Wilson's at Kish's effective number of labels, (sum of weights)^2 / (sum of squared
    weights) with weight = pictures / labels of the day: on one day, or at equal rates, that is the number of labels.
    Unlike the stratified variance it has a width where no answer was wrong, as small samples of good classifiers have
    it. It makes no use of a day's sample being a large part of the day: it is about days like these, and rather wide.
    Unanswered pictures of a sample are taken to be like its answered ones.
    """
    if not strata:
        return None
    picture_count = sum(each.picture_count for each in strata)
    share = sum(each.picture_count * each.right_count / each.answered_count for each in strata) / picture_count
    effective = picture_count**2 / math.fsum(each.picture_count**2 / each.answered_count for each in strata)
    low, high = interval_of_share(min(share, 1.0), effective)
    return ProductionAccuracy(share, low, high)
