"""Image drift: compares the embeddings of a day, and of the week that ends with it, with those of the training set.

A week finds what is too rare on a day, such as an unseen class in one image of ten.

The statistical test is in `permutation.py`; the predicted labels are compared in `label_shift.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import compress
from typing import Final

import numpy as np

from pipeline.drift.clusters import Neighbourhood
from pipeline.drift.comparison import ALARM_AT, IMAGES, MIN_COMPARED, WEEK, Comparison
from pipeline.drift.permutation import compare_samples, find_repeats
from pipeline.drift.reference import Reference, drop_non_finite

DAY_LIMIT: Final = 1_000
"""Images sampled from a day. A difference that 1,000 images do not show is too small to act upon."""

WEEK_DAYS: Final = 7
EXAMPLE_COUNT: Final = 12
NO_IMAGES: Final[tuple[list[str], np.ndarray]] = ([], np.empty((0, 0), np.float32))

Samples = Mapping[str, tuple[list[str], np.ndarray]]
"""By day, YYYY-MM-DD: digests of at most `DAY_LIMIT` images and their vectors, float32 `[n, dimension]` of length 1."""


def compare_images(days: Sequence[str], samples: Samples, backbone: str, reference: Reference) -> Iterator[Comparison]:
    """Compares every day, YYYY-MM-DD, and its week with the reference.

    Args:
        days: the days.
        samples: samples of these days, and of the six days before each.
        backbone: digest of the graph that made their vectors.
        reference: sample of the training set.
    """
    finite = {day: drop_non_finite(*sample) for day, sample in samples.items()}
    for day in days:
        if reference.backbone not in ("", backbone):
            yield _skip(day, IMAGES, 0, "the training set has features of another backbone")
            continue
        ids, vectors = finite.get(day, NO_IMAGES)
        yield _compare(day, IMAGES, ids, vectors, reference)
        week = [finite[each] for each in list_week(day) if each in finite]
        if len(week) > 1:
            limit = math.ceil(DAY_LIMIT / len(week))
            pooled = [name for each, _ in week for name in each[:limit]]
            yield _compare(day, WEEK, pooled, np.concatenate([each[:limit] for _, each in week]), reference, ids)


def list_week(day: str) -> list[str]:
    """Lists a day and the six days before it, YYYY-MM-DD, the newest first."""
    return [str(date.fromisoformat(day) - timedelta(days=ago)) for ago in range(WEEK_DAYS)]


def find_neighbourhoods(
    comparisons: Sequence[Comparison], samples: Samples, reference: Reference
) -> dict[str, Neighbourhood]:
    """Makes, for every day with a cluster, what `find_clustered` compares its images with.

    Args:
        comparisons: of the images of some days.
        samples: the samples of these days that were compared.
        reference: the reference of the comparisons.
    """
    counts = {str(each.day): each.cluster_count for each in comparisons if each.cluster_count is not None}
    known, neighbourhoods = reference.sample, {}
    if known is None:
        return {}
    for day in counts.keys() & samples.keys():
        ids, vectors = drop_non_finite(*samples[day])
        kept = ~find_repeats(vectors, known.radius)
        own, own_ids = known.space.project(vectors[kept]), list(compress(ids, kept))
        neighbourhoods[day] = Neighbourhood(known.space.weights, known.coordinates, own, own_ids, counts[day])
    return neighbourhoods


def _compare(
    day: str, kind: str, ids: Sequence[str], vectors: np.ndarray, reference: Reference, shown: Sequence[str] = ()
) -> Comparison:
    """Compares images with the reference; only images among `shown` become examples, all of them if it is empty."""
    what = "day" if kind == IMAGES else "week"
    if reference.sample is None:
        return _skip(day, kind, len(ids), f"training_features has fewer than {MIN_COMPARED} images of the train split")
    if len(ids) < MIN_COMPARED:
        return _skip(day, kind, len(ids), f"the {what} has fewer than {MIN_COMPARED} images")
    found = compare_samples(reference.sample, vectors)
    if len(found.order) < MIN_COMPARED:
        return _skip(day, kind, len(ids), f"fewer than {MIN_COMPARED} images of the {what} are not near-duplicates")
    is_alarm = found.p_value <= ALARM_AT[kind]
    has_cluster = is_alarm and found.statistic == "cluster"
    candidates = set(shown or ids)
    examples = [(ids[each], float(found.own_share[each])) for each in found.order if ids[each] in candidates]
    extent = "in some images that resemble each other" if has_cluster else "as a whole"
    calm = "images resemble the training set" if kind == IMAGES else "images of the week resemble the training set"
    return Comparison(
        day=date.fromisoformat(day),
        comparison=kind,
        summary=f"the {what} differs from the training set {extent}" if is_alarm else calm,
        image_count=len(found.order),
        p_value=found.p_value,
        distance=found.distance,
        is_alarm=is_alarm,
        examples=tuple(examples[:EXAMPLE_COUNT]) if is_alarm else (),
        cluster_count=found.cluster_count if has_cluster and kind == IMAGES else None,
        cluster_share=found.cluster_share if has_cluster else None,
    )


def _skip(day: str, kind: str, image_count: int, reason: str) -> Comparison:
    return Comparison(date.fromisoformat(day), kind, f"not compared, {reason}", image_count)
