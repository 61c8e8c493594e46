"""Image drift: compares the embeddings of a day, and of the week that ends with it, with those of the training set.

A week finds what is too rare on a day, such as an unseen class in one image of ten.

The statistical test is in `permutation.py`; the predicted labels are compared in `label_shift.py`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import compress
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.drift.clusters import Neighbourhood
from pipeline.drift.comparison import ALARM_AT, IMAGES, MIN_COMPARED, WEEK, Comparison
from pipeline.drift.embedding_space import EmbeddingSpace, fit_embedding_space
from pipeline.drift.permutation import Sample, compare_samples, find_repeats, prepare_sample
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.similarity.samples import sample_days, sample_labelled

REFERENCE_LIMIT: Final = 5_000
FITTED_LIMIT: Final = 1_000
DAY_LIMIT: Final = 1_000
"""Images sampled from the train split, the holdout and a day. The limits bound the memory of the driver (26 MB and 5 MB
for vectors of 1,280) and the sensitivity: a difference that 1,000 images do not show is too small to act upon."""

WEEK_DAYS: Final = 7
DAYS_AT_ONCE: Final = 31
EXAMPLE_COUNT: Final = 12
NO_IMAGES: Final[tuple[list[str], np.ndarray]] = ([], np.empty((0, 0), np.float32))


@dataclass(frozen=True)
class Reference:
    """The sample of the training set that days are compared with."""

    backbone: str  # digest of the graph that made the vectors; empty where there are none
    vectors: np.ndarray  # float32 `[n, dimension]` of length 1, of at most `REFERENCE_LIMIT` images of the train split
    labels: Sequence[str]
    space: EmbeddingSpace  # fitted to at most `FITTED_LIMIT` images of the holdout

    @cached_property
    def sample(self) -> Sample:
        """The prepared sample, shared by all days."""
        return prepare_sample(self.vectors, self.labels, self.space)


def read_reference(training_features: DataFrame) -> Reference:
    """Collects the vectors of the train split and fits the embedding space to the holdout."""
    readable = training_features.where(F.col("features").isNotNull())
    train, holdout = (readable.where(F.col("split") == split) for split in (TRAIN, HOLDOUT))
    first = train.select("backbone").head()
    labels, vectors = _drop_non_finite(*sample_labelled(train, REFERENCE_LIMIT))
    holdout_labels, holdout_vectors = _drop_non_finite(*sample_labelled(holdout, FITTED_LIMIT))
    space = fit_embedding_space(holdout_vectors, holdout_labels, vectors)
    return Reference(first["backbone"] if first else "", vectors, labels, space)


def _drop_non_finite(names: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    is_finite = np.isfinite(vectors).all(axis=1)
    return list(compress(names, is_finite)), vectors[is_finite]


def compare_images(days: Sequence[str], image_features: DataFrame, reference: Reference) -> Iterator[Comparison]:
    """Compares every day, YYYY-MM-DD, and its week with the reference, unless its features are of another backbone.

    The driver holds at most `DAY_LIMIT` vectors of `DAYS_AT_ONCE` days and of the six days before them.

    Args:
        days: the days.
        image_features: rows of these days, and of the six days before each.
        reference: sample of the training set.
    """
    is_comparable = F.col("backbone") == reference.backbone
    others = image_features.where(F.col("features").isNotNull() & ~is_comparable).select("day").distinct()
    other_days = {str(row["day"]) for row in others.collect()}
    for first in range(0, len(days), DAYS_AT_ONCE):
        chunk = days[first : first + DAYS_AT_ONCE]
        wanted = {each for day in chunk for each in list_week(day)}
        found = sample_days(image_features.where(F.col("day").isin(*wanted) & is_comparable), DAY_LIMIT)
        samples = {day: _drop_non_finite(*sample) for day, sample in found.items()}
        for day in chunk:
            ids, vectors = samples.get(day, NO_IMAGES)
            if not ids and day in other_days and reference.backbone:
                yield _skip(day, IMAGES, 0, "the training set has features of another backbone")
                continue
            yield _compare(day, IMAGES, ids, vectors, reference)
            week = [samples[each] for each in list_week(day) if each in samples]
            if len(week) > 1:
                limit = math.ceil(DAY_LIMIT / len(week))
                pooled = [name for each, _ in week for name in each[:limit]]
                yield _compare(day, WEEK, pooled, np.concatenate([each[:limit] for _, each in week]), reference, ids)


def list_week(day: str) -> list[str]:
    """Lists a day and the six days before it, YYYY-MM-DD, the newest first."""
    return [str(date.fromisoformat(day) - timedelta(days=ago)) for ago in range(WEEK_DAYS)]


def find_neighbourhoods(
    comparisons: Sequence[Comparison], image_features: DataFrame, reference: Reference
) -> dict[str, Neighbourhood]:
    """Collects, for every day with a cluster, what `find_clustered` compares its images with.

    Args:
        comparisons: of the images of some days.
        image_features: rows of these days at least.
        reference: the reference of the comparisons.
    """
    counts = {str(each.day): each.cluster_count for each in comparisons if each.cluster_count is not None}
    if not counts:
        return {}
    space, weights = reference.space, reference.space.weights
    samples = sample_days(image_features.where(F.col("day").isin(*counts)), DAY_LIMIT)
    neighbourhoods = {}
    for day, sample in samples.items():
        ids, vectors = _drop_non_finite(*sample)
        kept = ~find_repeats(vectors, reference.sample.radius)
        own, own_ids = space.project(vectors[kept]), list(compress(ids, kept))
        neighbourhoods[day] = Neighbourhood(weights, reference.sample.coordinates, own, own_ids, counts[day])
    return neighbourhoods


def _compare(
    day: str, kind: str, ids: Sequence[str], vectors: np.ndarray, reference: Reference, shown: Sequence[str] = ()
) -> Comparison:
    """Compares images with the reference; only images among `shown` become examples, all of them if it is empty."""
    what = "day" if kind == IMAGES else "week"
    if len(reference.vectors) < MIN_COMPARED:
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
