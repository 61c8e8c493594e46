"""How much is enough: how well the answered audit knows the accuracy of a day, and what 20 more answers would add."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline.evaluation.intervals import interval_of_share
from pipeline.reviews.audit import Stratum, estimate_accuracy

STEP: Final = 20  # answers after which the estimate is updated: single answers must not reveal predictions
KNOWN_REACH: Final = 0.05  # half the width of the interval at which the precision of a day counts as known


@dataclass(frozen=True)
class Progress:
    """How far the audit is.

    Attributes:
        answered_count: images of the audit with an answer.
        drawn_count: images of the audit.
        counted: answers behind the estimate, a multiple of `STEP` or all.
        share: share of predictions that were right; None before the first estimate.
        reach: half the width of its 95 % interval.
        next_reach: the same after `STEP` more answers.
    """

    answered_count: int
    drawn_count: int
    counted: int
    share: float | None
    reach: float
    next_reach: float

    @property
    def is_known(self) -> bool:
        """Whether the precision is known, or nothing is left to answer."""
        return self.reach <= KNOWN_REACH or self.answered_count >= self.drawn_count


def measure_progress(are_right: Sequence[bool], drawn_count: int) -> Progress:
    """Measures the progress of an audit.

    Args:
        are_right: for each answer in order whether the prediction was right.
        drawn_count: images of the audit.
    """
    count = len(are_right)
    counted = count if count >= drawn_count else count - count % STEP
    if not counted:
        expected = 0.9  # before the first estimate the width is that of a usual day
        return Progress(count, drawn_count, 0, None, 0.5, _reach(expected, STEP))
    share = sum(are_right[:counted]) / counted
    return Progress(count, drawn_count, counted, share, _reach(share, counted), _reach(share, counted + STEP))


def pool_progress(days: Sequence[tuple[Progress, float]]) -> Progress:
    """The progress of several audits as one, by the estimator of the production accuracy.

    Args:
        days: the progress of each day, and the images that its sample represents.
    """
    answered, drawn = (sum(getattr(each, name) for each, _ in days) for name in ("answered_count", "drawn_count"))
    known = [(each, image_count) for each, image_count in days if each.share is not None]
    strata = [Stratum(images, each.counted, round((each.share or 0) * each.counted)) for each, images in known]
    accuracy, counted = estimate_accuracy(strata), sum(each.counted for each, _ in known)
    if accuracy is None:
        return replace(measure_progress([], drawn), answered_count=answered)
    reach = (accuracy.high - accuracy.low) / 2
    return Progress(answered, drawn, counted, accuracy.share, reach, reach * math.sqrt(counted / (counted + STEP)))


def _reach(share: float, support: float) -> float:
    low, high = interval_of_share(share, support)
    return (high - low) / 2
