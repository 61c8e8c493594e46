"""How hard a day is for the classifier: its estimated accuracy, and the threshold that keeps the target precision.

No label of the day is used. Small days are estimated together with the days before them. Labels that people gave to a
random sample of earlier days prove or raise the threshold, and never lower it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.daily.day_samples import DaySample
from pipeline.daily.difficulty_table import ESTIMATED, PROVEN, UNKNOWN, Difficulty
from pipeline.daily.set_answers import describe_answers
from pipeline.drift.comparison import IMAGES, WEEK, Comparison
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import Thresholds, calibrate_mixture, choose_thresholds, mix
from pipeline.evaluation.proof import is_refuted, prove_threshold
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.training.classifier import Classifier

POOLED_IMAGES: Final = 200  # images of an estimate; a smaller day takes images of the days before it
POOLED_DAYS: Final = 14  # at most, the day itself included
SAME: Final = 0.01  # of accuracy, too little to mention
AUDITED_DAYS: Final = 28  # before a day, whose labels prove or raise its threshold
MIN_IMAGES: Final = 20  # below which nothing is estimated
Z: Final = 1.96  # standard errors on either side of a 95 % interval
MENTIONED_SHARE: Final = 0.02  # of images that are not answered because of how they look
ALL_REVIEWED: Final = ", so every prediction goes to review"


@dataclass(frozen=True)
class Confidence:
    """Confidences of the images of some days that may be answered, before calibration.

    Attributes:
        count: number of these images.
        mean: their mean confidence, 0 to 1; 0 without images.
        error: standard error of the mean, since a large day is sampled.
        flagged_share: share of the other images, which are not answered because of how they look, 0 to 1.
    """

    count: int = 0
    mean: float = 0.0
    error: float = 0.0
    flagged_share: float = 0.0


@dataclass(frozen=True)
class Audit:
    """Labelled predictions of a random sample of earlier days.

    Attributes:
        confidence: calibrated, float64 `[n]`.
        is_right: bool `[n]`.
    """

    confidence: np.ndarray
    is_right: np.ndarray


NO_AUDIT: Final = Audit(np.empty(0), np.empty(0, bool))


def list_pooled(day: date, counts: Mapping[date, int]) -> list[date]:
    """Lists the days of an estimate, newest first: the day, and days before it until there are enough images."""
    days, total = [day], counts.get(day, 0)
    while total < POOLED_IMAGES and len(days) < POOLED_DAYS:
        days.append(days[-1] - timedelta(days=1))
        total += counts.get(days[-1], 0)
    return days


def select_audit(audits: pa.Table, day: date) -> Audit:
    """Selects the labels of the `AUDITED_DAYS` before a day.

    Args:
        audits: a table of `day`, `confidence` and `is_right`.
        day: the day.
    """
    first = day - timedelta(days=AUDITED_DAYS)
    days = audits["day"]
    found = audits.filter(pc.and_(pc.greater_equal(days, pa.scalar(first)), pc.less(days, pa.scalar(day))))
    return Audit(np.array(found["confidence"], np.float64), np.array(found["is_right"], bool))


def measure_confidence(samples: Iterable[DaySample]) -> Confidence:
    """Measures the confidence of the images of some days together; those that are not answered are left out."""
    chosen = list(samples)
    image_count = sum(each.image_count for each in chosen)
    parts = [each.confidence[~each.is_flagged] for each in chosen]
    sampled_count = sum(map(len, parts))
    if not sampled_count:
        return Confidence(flagged_share=1.0 if image_count else 0.0)
    weights = np.concatenate(
        [np.full(len(part), each.image_count / len(each.confidence)) for part, each in zip(parts, chosen, strict=True)]
    )
    values = np.concatenate(parts)
    mean = float(np.average(values, weights=weights))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    count = round(weights.sum())
    return Confidence(count, mean, deviation / np.sqrt(sampled_count), 1 - count / image_count)


def estimate_difficulty(
    day: date,
    row_counts: Mapping[date, int],
    samples: Mapping[date, DaySample],
    classifier: Classifier,
    levels: Sequence[LabelledPredictions],
    audit: Audit = NO_AUDIT,
    comparisons: Sequence[Comparison] = (),
    review_flags: Sequence[str] = (),
) -> Difficulty:
    """Estimates how hard a day is.

    Args:
        day: the day.
        row_counts: rows of `image_features` by day.
        samples: samples by day, of the days of `list_pooled` at least.
        classifier: the classifier.
        levels: its cross-fits, the easiest first; none if it was fitted without.
        audit: labelled predictions of the days before.
        comparisons: of the images of the day and of its week with the training set. Images of a cluster are not
            answered, and taken for wrong: often they are of a class never seen.
        review_flags: quality flags whose images are not answered; nothing is estimated about them.
    """
    own = measure_confidence([samples[day]] if day in samples else [])
    row = _estimate(day, row_counts, samples, own.count, classifier, levels, audit, _share_clustered(comparisons))
    news = _describe_flagged(own.flagged_share, review_flags) + _describe_news(comparisons)
    return replace(row, review_flags=tuple(review_flags), comparisons=comparisons, summary=row.summary + news)


def _estimate(
    day: date,
    row_counts: Mapping[date, int],
    samples: Mapping[date, DaySample],
    own_count: int,
    classifier: Classifier,
    levels: Sequence[LabelledPredictions],
    audit: Audit,
    clustered_share: float,
) -> Difficulty:
    pooled, target = list_pooled(day, row_counts), classifier.calibration.target_precision
    found = measure_confidence(samples[each] for each in pooled if each in samples)
    image_count = samples[day].image_count if day in samples else 0
    row = Difficulty(
        *(day, classifier.version, row_counts.get(day, 0), image_count, found.count, min(pooled)),
        target_precision=target,
    )
    if found.count:
        row = replace(row, mean_confidence=found.mean)
    if not levels or len(levels[0]) == 0:
        return replace(row, summary=f"The classifier has no cross-fit to estimate the day by{ALL_REVIEWED}")
    if found.count < MIN_IMAGES:
        few = f"{found.count} images since {row.first_day} are too few to estimate how hard the day is"
        return replace(row, summary=f"{few}{ALL_REVIEWED}")
    mixture = mix(levels, found.mean)
    calibration, accuracy = calibrate_mixture(levels, mixture, target)
    low, high = (
        calibrate_mixture(levels, mix(levels, found.mean + sign * Z * found.error), target)[1] for sign in (-1, 1)
    )
    accuracy, low, high = (each * (1 - clustered_share) for each in (accuracy, low, high))
    chance = Z * np.sqrt(accuracy * (1 - accuracy) / max(own_count, 1))
    if mixture.is_beyond:
        return replace(
            row, summary=f"This day is harder than what the training set can be used to estimate{ALL_REVIEWED}"
        )
    thresholds = choose_thresholds(levels, mixture, calibration, clustered_share)
    estimated = replace(
        row,
        state=ESTIMATED,
        accuracy=accuracy,
        accuracy_low=max(0.0, accuracy - float(np.hypot(accuracy - low, chance))),
        accuracy_high=min(1.0, accuracy + float(np.hypot(high - accuracy, chance))),
        easier_level=mixture.easier,
        harder_share=mixture.share,
        temperature=calibration.temperature,
        threshold=thresholds.threshold,
        label_thresholds=thresholds.labels,
        ancestor_thresholds=thresholds.ancestors,
        summary=_summarize(accuracy, target, levels, thresholds),
    )
    return _judge_by_labels(estimated, audit)


def _judge_by_labels(estimated: Difficulty, audit: Audit) -> Difficulty:
    """Proves or raises the threshold by labels; they cover answered images, and never justify a lower one."""
    count, target = len(audit.confidence), estimated.target_precision
    row = replace(estimated, audited_count=count)
    if count == 0 or estimated.threshold is None:
        return row
    proven = prove_threshold(audit.confidence, audit.is_right, target)
    if proven is not None:
        raised = f", which labels of {count} earlier predictions raised to {proven:.2f}"
        words = raised if proven > estimated.threshold else f", which labels of {count} earlier predictions prove"
        threshold = max(proven, estimated.threshold)
        return replace(row, state=PROVEN, threshold=threshold, summary=row.summary + words)
    if is_refuted(audit.is_right[audit.confidence >= estimated.threshold], target):
        why = f"Labels of {count} earlier predictions show that fewer than {target:.0%} of the answers are right"
        return replace(
            row, state=UNKNOWN, threshold=None, label_thresholds={}, ancestor_thresholds={}, summary=why + ALL_REVIEWED
        )
    return row


def _share_clustered(comparisons: Sequence[Comparison]) -> float:
    """Share of the images of the day that belong to a cluster."""
    return sum(each.cluster_share or 0.0 for each in comparisons if each.comparison == IMAGES)


def _describe_flagged(share: float, flags: Sequence[str]) -> str:
    """Describes in a sentence the images that are not answered because of how they look; empty for hardly any."""
    if share < MENTIONED_SHARE:
        return ""
    return f". {share:.0%} of the images are {' or '.join(flags)}, which the training set hardly has, and go to review"


def _describe_news(comparisons: Sequence[Comparison]) -> str:
    """Describes in a sentence what the day or its week has that the training set lacks; empty without any."""
    if share := _share_clustered(comparisons):
        return (
            f". {share:.0%} of the images resemble each other more than the training set, perhaps a class never seen,"
            " and go to review"
        )
    weeks = [each for each in comparisons if each.comparison == WEEK and each.cluster_share]
    return f". {weeks[0].summary.capitalize()}, perhaps a class never seen" if weeks else ""


def _summarize(accuracy: float, target: float, levels: Sequence[LabelledPredictions], thresholds: Thresholds) -> str:
    usual = float(levels[0].is_right.mean())
    harder = f"This day is harder than the training set (there {usual:.0%} are right)"
    kind = "This day is as easy as the training set" if accuracy >= usual - SAME else harder
    is_of_sets = isinstance(levels[0], SetPredictions)
    right = f"{kind}: about {accuracy:.0%}{' of the sets' if is_of_sets else ''} would be right if all were answered"
    if is_of_sets and thresholds.labels:
        return f"{right}; {describe_answers(levels[0].classes, thresholds.labels)}"
    above = "with what stands above their label where that is sure enough"
    if thresholds.threshold is not None:
        count = len(thresholds.labels)
        more = f" (more for {count} {'label' if count == 1 else 'labels'})" if count else ""
        answered = f"{right}; those from confidence {thresholds.threshold:.2f} on{more} are answered"
        return f"{answered}, others {above}" if thresholds.ancestors else answered
    nothing = f"{right}, and no confidence reaches {target:.0%}"
    return f"{nothing}; images are answered {above}" if thresholds.ancestors else f"{nothing}{ALL_REVIEWED}"
