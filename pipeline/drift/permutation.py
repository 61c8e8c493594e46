"""Permutation test: whether the vectors of two samples have the same distribution, and which vectors differ most.

Exact for vectors of any distribution. Plain numpy, for a few thousand vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.drift.embedding_space import EmbeddingSpace
from pipeline.drift.outlier_score import OutlierScorer, assign_folds, fit_outlier_scorer
from pipeline.similarity import axes as principal
from pipeline.similarity.nearest import BLOCK_ROWS, Nearest, add_points, find_nearest, squared_distances

PERMUTATION_COUNTS: Final = (99, 999)
REFINE_BELOW: Final = 0.1  # p-value up to which the second count is used; most days need only the first
SEED: Final = 20260101
MEAN_DIMENSIONS: Final = 128
NEIGHBOUR_COUNTS: Final = (20, 60)
CLUSTER_SHARE: Final = 0.05
CLUSTER_CHANCE: Final = 0.002  # share of the vectors of a random sample that seem to belong to a cluster
NEAR_DUPLICATE_RATIO: Final = 0.5
"""Ratio of the median distance to the nearest vector, up to which two vectors of a sample are near-duplicates. They
count as one: a burst of photos is no drift, and only independent vectors may be permuted."""


@dataclass(frozen=True)
class Difference:
    """The difference between two samples.

    Attributes:
        p_value: share of permutations that differ at least as much; at least 1 / 1000, and in hundredths where large.
        distance: in standard deviations of the permutations, by the largest statistic or their sum.
        statistic: name of the largest statistic: `mean`, or `cluster` for the densest vectors of the second sample.
        own_share: share of its own sample among the 20 nearest of each vector of the second sample, float `[m]`; nan
            for near-duplicates, which count once.
        expected_share: this share if the samples had the same distribution.
        order: indices into the second sample, the vectors that contribute most first; without near-duplicates.
        cluster_count: number of its own sample among the 60 nearest from which a vector belongs to a cluster: in the
            permutations `CLUSTER_CHANCE` of the vectors have so many.
        cluster_share: share of the second sample that belongs to one, 0 to 1.
    """

    p_value: float
    distance: float
    statistic: str
    own_share: np.ndarray
    expected_share: float
    order: np.ndarray
    cluster_count: int
    cluster_share: float


@dataclass(frozen=True)
class Sample:
    """A prepared first sample, to be compared with many second ones; without near-duplicates."""

    points: np.ndarray  # float32 `[n, dimension]`, on its own principal axes, the widest first
    centre: np.ndarray  # float32 `[dimension]`, subtracted from `points`
    axes: np.ndarray  # float32 `[dimension, dimension]`, in columns
    radius: float  # distance up to which two vectors are near-duplicates
    space: EmbeddingSpace
    coordinates: np.ndarray  # float32 `[n, coordinates]`, of `points` in the embedding space
    nearest: Nearest  # neighbours of `coordinates`
    scorer: OutlierScorer  # fitted to the principal axes of `coordinates`
    outlier_scores: np.ndarray  # float32 `[n]`, of `coordinates`

    def add(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds the nearest neighbours `[n + m, count]` and outlier scores `[n + m]` of this and the new vectors."""
        added = self.space.project(vectors)
        scores = self.scorer.score(self.space.select_axes(added), assign_folds(len(added), SEED))
        return add_points(self.coordinates, self.nearest, added), np.append(self.outlier_scores, scores)


def prepare_sample(vectors: np.ndarray, labels: Sequence[str], space: EmbeddingSpace) -> Sample:
    """Prepares the larger sample.

    Args:
        vectors: float32 `[n, dimension]` of length 1, finite, at least two.
        labels: one per vector.
        space: fitted to other vectors than these and those that they will be compared with.
    """
    radius = NEAR_DUPLICATE_RATIO * float(np.median(find_nearest(vectors, 1).distances))
    kept = ~find_repeats(vectors, radius)
    if np.count_nonzero(kept) == 1:
        kept[:] = True  # without variance, nothing is a near-duplicate
    points = vectors[kept]
    centre, coordinates = points.mean(axis=0), space.project(points)
    axes = principal.find_axes(points - centre)[1]
    folds, nearest = assign_folds(len(points), SEED), find_nearest(coordinates, max(NEIGHBOUR_COUNTS))
    scorer = fit_outlier_scorer(space.select_axes(coordinates), np.asarray(labels)[kept], folds)
    scores = scorer.score(space.select_axes(coordinates), folds)
    return Sample((points - centre) @ axes, centre, axes, radius, space, coordinates, nearest, scorer, scores)


def compare_samples(first: Sample, second: np.ndarray, seed: int = SEED) -> Difference:
    """Tests whether two samples have the same distribution; near-duplicates within a sample count once.

    Two kinds of statistics are standardised over the same random permutations. The largest one, or their sum where that
    is larger, is compared with its value in every permutation:

    - the distance between the means, for shifts of the whole sample, on the principal axes of both samples together,
      with the variances moved half-way to equal;
    - the mean share of their own sample among the 20 and 60 nearest neighbours of the densest twentieth of the second
      sample, for a minority of a new kind. Vectors with a high outlier score count more.

    A hundred permutations, and a thousand where these leave a doubt. Bound: a few thousand vectors; the distances
    between the two samples are in memory.

    Args:
        first: the larger sample.
        second: float32 `[m, dimension]` of length 1, finite; at least two, and not more than the first.
        seed: seed of the permutations.
    """
    kept = np.flatnonzero(~find_repeats(second, first.radius))
    points = np.concatenate([first.points, (second[kept] - first.centre) @ first.axes])
    rotated, variances = principal.rotate(principal.compress(points, len(kept)), MEAN_DIMENSIONS)
    spread = rotated / variances**0.25
    nearest, outlier_scores = first.add(second[kept])
    weights = _rank(outlier_scores) ** 2
    for permutation_count in PERMUTATION_COUNTS:
        permutations = _permute(len(points), len(kept), permutation_count, seed)
        counts = [_count_own(nearest[:, :count], permutations) for count in NEIGHBOUR_COUNTS]
        weighted = [count * weights[permutations] for count in counts]
        # The mean of the other points is opposite to the mean of the members, and proportional.
        means = np.array([np.linalg.norm(spread[members].mean(axis=0)) for members in permutations])
        scores = _standardise(np.stack([means, *map(_average_densest, weighted)]))
        largest = np.vstack([scores, _standardise(scores.sum(axis=0, keepdims=True))]).max(axis=0)
        p_value = float(np.mean(largest >= largest[0]))
        if p_value > REFINE_BELOW:
            break
    strongest = int(scores[:, 0].argmax())
    own = spread[permutations[0]]
    pulls = own @ (own.mean(axis=0) - spread[: len(first.points)].mean(axis=0))
    order = np.lexsort((-pulls, -weighted[strongest - 1][0])) if strongest else np.argsort(-pulls, kind="stable")
    own_share = np.full(len(second), np.nan)
    cluster_count = int(np.quantile(counts[-1][1:], 1 - CLUSTER_CHANCE, method="higher")) + 1
    own_share[kept] = counts[0][0] / min(NEIGHBOUR_COUNTS[0], nearest.shape[1])
    return Difference(
        p_value=p_value,
        distance=float(largest[0]),
        statistic="cluster" if strongest else "mean",
        own_share=own_share,
        expected_share=(len(kept) - 1) / (len(points) - 1),
        order=kept[order],
        cluster_count=cluster_count,
        cluster_share=float(np.mean(counts[-1][0] >= cluster_count)),
    )


def find_repeats(points: np.ndarray, radius: float) -> np.ndarray:
    """Finds the points that lie within the radius of a point before them, bool `[n]`."""
    repeats = np.zeros(len(points), bool)
    for start in range(0, len(points), BLOCK_ROWS):
        squares = squared_distances(points[start : start + BLOCK_ROWS], points)
        is_before = np.arange(len(points)) < np.arange(start, start + len(squares))[:, None]
        repeats[start : start + len(squares)] = ((squares <= radius**2) & is_before).any(axis=1)
    return repeats


def _permute(total: int, count: int, permutation_count: int, seed: int) -> np.ndarray:
    """Draws indices of the second sample `[1 + permutations, count]`; the first row is real: the last points."""
    generator = np.random.default_rng(seed)
    random = [generator.choice(total, count, replace=False, shuffle=False) for _ in range(permutation_count)]
    return np.stack([np.arange(total - count, total), *random])


def _count_own(nearest: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Counts, for each member of each permutation, the nearest neighbours that are members too."""
    counts = np.empty(permutations.shape, np.int32)
    for number, members in enumerate(permutations):
        is_own = np.zeros(len(nearest), bool)
        is_own[members] = True
        counts[number] = is_own[nearest[members]].sum(axis=1)
    return counts


def _average_densest(counts: np.ndarray) -> np.ndarray:
    densest_count = max(5, round(CLUSTER_SHARE * counts.shape[1]))
    return np.sort(counts, axis=1)[:, -densest_count:].mean(axis=1)


def _rank(values: np.ndarray) -> np.ndarray:
    """Computes the share `[n]` of smaller values, from 0 to nearly 1; equal ones count half."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((counts.cumsum() - counts / 2) / len(values))[places]


def _standardise(values: np.ndarray) -> np.ndarray:
    """Standardises each row over all permutations; including the real one keeps the test exact."""
    deviations: Sequence[float] = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.maximum(deviations, 1e-12)
