"""The audit: a simple random sample of each day's predictions, and the production accuracy estimated from it.

Uncertain and novel images are queued because they are hard, so only the random sample represents the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.evaluation.intervals import interval_of_share

KEY: Final = "daylight audit"  # salt of the hash, which makes the draw independent of the split by digest
DRAWN: Final = """
    SELECT *, CASE WHEN draw <= drawn_count THEN CAST(day_count AS double) / drawn_count END AS audit_weight FROM (
        SELECT *, least(greatest(ceil(day_count * $share), $min_count), $max_count, day_count) AS drawn_count FROM (
            SELECT *, count(*) OVER (PARTITION BY day) AS day_count, row_number() OVER (PARTITION BY day
                ORDER BY sha2(concat_ws(' ', $salt, CAST(day AS string), image_id), 256), image_id) AS draw
            FROM candidates
        ) AS numbered
    ) AS sized
"""
"""Draws each day's sample, as a portable query: the images with the smallest SHA-256 of salt, day and image.

The draw is reproducible, independent of predictions and paths, and equally likely for all images of a day. `candidates`
has one row per image and day; `audit_weight` is the images of the day that a drawn one represents, null if not drawn.
Parameters are those of `AuditSize.parameters`."""


@dataclass(frozen=True)
class AuditSize:
    """Size of a day's random sample."""

    share: float = 0.02  # of the day's distinct predicted images
    min_count: int = 10  # all if there are fewer
    max_count: int = 100
    question: str = ""  # whose sample it is: each question draws images of its own

    @property
    def parameters(self) -> dict[str, object]:
        """Parameters of `DRAWN`."""
        sizes = {"share": self.share, "min_count": self.min_count, "max_count": self.max_count}
        return {"salt": f"{KEY} {self.question}".rstrip(), **sizes}


@dataclass(frozen=True)
class Stratum:
    """The sample of one day."""

    image_count: float  # images that the sample represents
    answered_count: int  # images of the sample with a human label, at least one
    correct_count: int  # images whose human label equals the predicted one


@dataclass(frozen=True)
class ProductionAccuracy:
    """Accuracy and its 95 % interval, 0 to 1."""

    share: float
    low: float
    high: float


def estimate_accuracy(strata: Sequence[Stratum]) -> ProductionAccuracy | None:
    """Estimates the accuracy over all images of these days; None without any label.

    The stratified estimator weights each day by its images, since days are sampled at different rates. The interval is
    Wilson's at Kish's effective sample size, (sum of weights)^2 / (sum of squared weights), where a label's weight is
    images / labels of its day; at equal rates that is the number of labels. Unlike the stratified variance, it has a
    positive width without any error, which small samples of good classifiers often show. It has no finite-population
    correction, so it describes days like these and is rather wide. Unlabelled images of a sample are assumed to be like
    the labelled ones.
    """
    if not strata:
        return None
    image_count = sum(each.image_count for each in strata)
    share = sum(each.image_count * each.correct_count / each.answered_count for each in strata) / image_count
    effective = image_count**2 / math.fsum(each.image_count**2 / each.answered_count for each in strata)
    low, high = interval_of_share(min(share, 1.0), effective)
    return ProductionAccuracy(share, low, high)
