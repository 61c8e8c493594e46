"""Image drift: compares the embeddings of a day with those of the training set.

The statistical test is in `permutation.py`; the predicted labels are compared in `label_shift.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import compress
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.drift.comparison import IMAGE_ALARM_AT, IMAGES, MIN_COMPARED, Comparison
from pipeline.drift.embedding_space import EmbeddingSpace, fit_embedding_space
from pipeline.drift.permutation import Sample, compare_samples, prepare_sample
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.similarity.samples import sample_days, sample_labelled

REFERENCE_LIMIT: Final = 5_000
FITTED_LIMIT: Final = 1_000
DAY_LIMIT: Final = 1_000
"""Images sampled from the train split, the holdout and a day. The limits bound the memory of the driver (26 MB and 5 MB
for vectors of 1,280) and the sensitivity: a difference that 1,000 images do not show is too small to act upon."""

DAYS_AT_ONCE: Final = 31
EXAMPLE_COUNT: Final = 12


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
    """Compares every day, YYYY-MM-DD, with the reference, unless its features are of another backbone.

    The driver holds at most `DAY_LIMIT` vectors of `DAYS_AT_ONCE` days.
    """
    is_comparable = F.col("backbone") == reference.backbone
    others = image_features.where(F.col("features").isNotNull() & ~is_comparable).select("day").distinct()
    other_days = {str(row["day"]) for row in others.collect()}
    for first in range(0, len(days), DAYS_AT_ONCE):
        chunk = days[first : first + DAYS_AT_ONCE]
        samples = sample_days(image_features.where(F.col("day").isin(*chunk) & is_comparable), DAY_LIMIT)
        for day in chunk:
            ids, vectors = _drop_non_finite(*samples.get(day, ([], np.empty((0, 0), np.float32))))
            if not ids and day in other_days and reference.backbone:
                yield _skip(day, 0, "the training set has features of another backbone")
            else:
                yield _compare(day, ids, vectors, reference)


def _compare(day: str, ids: Sequence[str], vectors: np.ndarray, reference: Reference) -> Comparison:
    if len(reference.vectors) < MIN_COMPARED:
        return _skip(day, len(ids), f"training_features has fewer than {MIN_COMPARED} images of the train split")
    if len(ids) < MIN_COMPARED:
        return _skip(day, len(ids), f"the day has fewer than {MIN_COMPARED} images")
    found = compare_samples(reference.sample, vectors)
    if len(found.order) < MIN_COMPARED:
        return _skip(day, len(ids), f"fewer than {MIN_COMPARED} images of the day are not near-duplicates")
    is_alarm = found.p_value <= IMAGE_ALARM_AT
    examples = [(ids[number], float(found.own_share[number])) for number in found.order[:EXAMPLE_COUNT]]
    extent = "as a whole" if found.statistic == "mean" else "in some images that resemble each other"
    return Comparison(
        day=date.fromisoformat(day),
        comparison=IMAGES,
        summary=f"the day differs from the training set {extent}" if is_alarm else "images resemble the training set",
        image_count=len(found.order),
        p_value=found.p_value,
        distance=found.distance,
        is_alarm=is_alarm,
        examples=examples if is_alarm else (),
    )


def _skip(day: str, image_count: int, reason: str) -> Comparison:
    return Comparison(date.fromisoformat(day), IMAGES, f"not compared, {reason}", image_count)
