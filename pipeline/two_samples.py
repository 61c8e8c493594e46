"""Two samples: whether vectors of two sets could have been dealt from one pile, and which of the second set say no.

A permutation test, exact whatever the vectors are like; plain numpy, of so few vectors that it takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

PERMUTATION_COUNT: Final = 999
SEED: Final = 20260101
MEAN_DIMENSIONS: Final = 128
NEAR_DIMENSIONS: Final = 64
NEAR_COUNTS: Final = (20, 60)
CROWDED_SHARE: Final = 0.05
NEAR_DUPLICATE: Final = 0.5
"""Two vectors of one set nearer than this share of the median distance to the nearest are one: a burst of photos is no
news, and only independent vectors may be dealt anew."""

BLOCK_ROWS: Final = 512


@dataclass(frozen=True)
class Difference:
    """How two samples differ.

    Attributes:
        p_value: share of all deals that differ as much as these samples do; 1 / 1000 at least.
        distance: of the samples, in standard deviations of what the deals give, in the statistic that says most.
        statistic: the name of that one: `mean`, or `crowding` around the most crowded vectors of the second sample.
        crowding: float `[n]`, for each vector of the second sample the share of its own sample among its 20 nearest,
            0 to 1; nan for near duplicates of others, which count once.
        expected_crowding: that share, were the samples alike.
        order: of the vectors of the second sample, those first that the statistic owes most to; no near duplicates.
    """

    p_value: float
    distance: float
    statistic: str
    crowding: np.ndarray
    expected_crowding: float
    order: np.ndarray


@dataclass(frozen=True)
class Sample:
    """A first sample, with what is the same whatever it is compared with.

    Attributes:
        points: float32 `[n, dimension]`, without near duplicates of others.
        near: distance below which two vectors are near duplicates.
    """

    points: np.ndarray
    near: float


def prepare_sample(vectors: np.ndarray) -> Sample:
    """Prepares the larger sample, float32 `[n, dimension]`, finite, to be compared with several others."""
    near = NEAR_DUPLICATE * float(np.median(_find_nearest(vectors, 1)[1]))
    return Sample(vectors[~_repeat_others(vectors, near)], near)


def compare_samples(first: Sample, second: np.ndarray, seed: int = SEED) -> Difference:
    """Tests whether two samples are of one distribution, near duplicates within each taken as one.

    Two kinds of statistics are standardised by the same 999 random deals, and the largest counts against the largest of
    every deal: the length of the difference of the means, for shifts of the whole sample, and how crowded by its own
    the twentieth part of the second sample is that is most so, among 20 and 60 nearest, for a minority of a new kind.
    The axes are the principal ones of both samples together, their variances drawn half-way to equal.
    Bound: some thousand vectors; distances are held of `BLOCK_ROWS` at a time. 5,000 and 1,000 of 1,280 take 3 seconds
    of one core.

    Args:
        first: the larger one.
        second: float32 `[m, dimension]`, finite; at least two, and not more than the first.
        seed: of the deals; the same samples give the same answer.
    """
    kept = np.flatnonzero(~_repeat_others(second, first.near))
    points = _half_whiten(np.concatenate([first.points, second[kept]]), MEAN_DIMENSIONS)
    nearest = _find_nearest(points[:, :NEAR_DIMENSIONS], min(max(NEAR_COUNTS), len(points) - 1))[0]
    deals = _deal(len(points), len(kept), seed)
    crowds = [_count_own(nearest[:, :count], deals) for count in NEAR_COUNTS]
    values = np.stack([_measure_means(points, deals), *map(_average_crowded, crowds)])
    scores = _standardise(values)
    strongest = int(scores[:, 0].argmax())
    largest = scores.max(axis=0)
    crowding = crowds[0][0] / min(NEAR_COUNTS[0], nearest.shape[1])
    own = points[deals[0]]
    pulls = own @ (own.mean(axis=0) - points[: len(first.points)].mean(axis=0))
    owed = np.lexsort((-pulls, -crowds[strongest - 1][0])) if strongest else np.argsort(-pulls, kind="stable")
    told = np.full(len(second), np.nan)
    told[kept] = crowding
    return Difference(
        p_value=float(np.mean(largest >= largest[0])),
        distance=float(largest[0]),
        statistic="crowding" if strongest else "mean",
        crowding=told,
        expected_crowding=(len(kept) - 1) / (len(points) - 1),
        order=kept[owed],
    )


def _repeat_others(points: np.ndarray, radius: float) -> np.ndarray:
    """Which points lie within the radius of one before them."""
    repeats = np.zeros(len(points), bool)
    for start in range(0, len(points), BLOCK_ROWS):
        squares = _squared_distances(points[start : start + BLOCK_ROWS], points)
        is_before = np.arange(len(points)) < np.arange(start, start + len(squares))[:, None]
        repeats[start : start + len(squares)] = ((squares <= radius**2) & is_before).any(axis=1)
    return repeats


def _half_whiten(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """Coordinates on the principal axes, each divided by the square root of its deviation; the widest first."""
    centred = vectors - vectors.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    variances, axes = variances[::-1][:dimensions], axes[:, ::-1][:, :dimensions]
    is_real = variances > 1e-6 * max(variances[0], 1e-12)
    return np.asarray(centred @ axes[:, is_real] / variances[is_real] ** 0.25, np.float32)


def _find_nearest(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers `[n, count]` of the other points nearest to each, and their distances."""
    numbers, distances = [], []
    for start in range(0, len(points), BLOCK_ROWS):
        squares = _squared_distances(points[start : start + BLOCK_ROWS], points)
        rows = np.arange(len(squares))
        squares[rows, start + rows] = np.inf
        found = np.argpartition(squares, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(squares, found, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        numbers.append(np.take_along_axis(found, order, axis=1))
        distances.append(np.sqrt(np.take_along_axis(near, order, axis=1)))
    return np.concatenate(numbers), np.concatenate(distances)


def _squared_distances(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    lengths = (some**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)
    return np.maximum(lengths - 2 * some @ points.T, 0)


def _deal(total: int, count: int, seed: int) -> np.ndarray:
    """Numbers `[1 + permutations, count]` of the second sample: the real one, which is last, then random ones."""
    generator = np.random.default_rng(seed)
    random = [generator.permutation(total)[:count] for _ in range(PERMUTATION_COUNT)]
    return np.stack([np.arange(total - count, total), *random])


def _measure_means(points: np.ndarray, deals: np.ndarray) -> np.ndarray:
    """Lengths of the mean of each deal; that of the rest lies opposite, in proportion."""
    return np.array([np.linalg.norm(points[deal].mean(axis=0)) for deal in deals])


def _count_own(nearest: np.ndarray, deals: np.ndarray) -> np.ndarray:
    """Of each member of each deal, how many of its nearest are of the deal too."""
    counts = np.empty(deals.shape, np.int32)
    for number, deal in enumerate(deals):
        is_own = np.zeros(len(nearest), bool)
        is_own[deal] = True
        counts[number] = is_own[nearest[deal]].sum(axis=1)
    return counts


def _average_crowded(counts: np.ndarray) -> np.ndarray:
    most = max(5, round(CROWDED_SHARE * counts.shape[1]))
    return np.sort(counts, axis=1)[:, -most:].mean(axis=1)


def _standardise(values: np.ndarray) -> np.ndarray:
    """By mean and deviation of all deals, the real one among them, so that it is not favoured."""
    deviations: Sequence[float] = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.maximum(deviations, 1e-12)
