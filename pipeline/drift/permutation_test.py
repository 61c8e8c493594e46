"""Two samples: whether vectors of two sets could have been dealt from one pile, and which of the second set say no.

A permutation test, exact whatever the vectors are like; plain numpy, of so few vectors that it takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np

from pipeline.drift.embedding_space import Likeness
from pipeline.drift.outlier_score import Strangeness, deal_folds, learn_strangeness
from pipeline.similarity.nearest import BLOCK_ROWS, Nearest, add_points, find_nearest, squared_distances
from pipeline.similarity.principal_axes import find_axes, narrow, turn

DEAL_COUNTS: Final = (99, 999)
GO_ON_BELOW: Final = 0.1
"""Where a hundred deals find nothing, a thousand are not dealt; most days are calm, and need a tenth of the time."""

SEED: Final = 20260101
MEAN_DIMENSIONS: Final = 128
NEAR_COUNTS: Final = (20, 60)
CROWDED_SHARE: Final = 0.05
NEAR_DUPLICATE: Final = 0.5
"""Two vectors of one set nearer than this share of the median distance to the nearest are one: a burst of photos is no
news, and only independent vectors may be dealt anew."""


@dataclass(frozen=True)
class Difference:
    """How two samples differ.

    Attributes:
        p_value: share of all deals that differ as much as these samples do; 1 / 1000 at least, and in hundredths where
            it is large.
        distance: of the samples, in standard deviations of what the deals give, in the statistic that says most,
            which may be the sum of the others.
        statistic: the name of the largest: `mean`, or `crowding` around the most crowded vectors of the second sample.
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
        points: float32 `[n, dimension]` on its own principal axes, the widest first, without near duplicates of others.
        centre: float32 `[dimension]`, the mean that `points` are told from.
        axes: float32 `[dimension, dimension]`, in columns.
        near: distance below which two vectors are near duplicates.
        likeness: in whose coordinates neighbours are sought.
        places: float32 `[n, coordinates]`, of `points` there.
        nearest: of `places`.
        strangeness: learned from the axes of `places`.
        strange: float32 `[n]`, of `places`.
    """

    points: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    near: float
    likeness: Likeness
    places: np.ndarray
    nearest: Nearest
    strangeness: Strangeness
    strange: np.ndarray

    def place(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers `[n + m, count]` of the nearest to each of these and of new vectors, and how strange each is."""
        places = self.likeness.place(vectors)
        strange = self.strangeness.measure(self.likeness.axes_of(places), deal_folds(len(places), SEED))
        return add_points(self.places, self.nearest, places), np.append(self.strange, strange)


def prepare_sample(vectors: np.ndarray, labels: Sequence[str], likeness: Likeness) -> Sample:
    """Prepares the larger sample to be compared with several.

    Args:
        vectors: float32 `[n, dimension]` of length 1, finite, two at least.
        labels: of these.
        likeness: learned from none of these, and of none that they will be compared with.
    """
    near = NEAR_DUPLICATE * float(np.median(find_nearest(vectors, 1).distances))
    kept = ~_repeat_others(vectors, near)
    if np.count_nonzero(kept) == 1:
        kept[:] = True  # nothing varies, so that nothing repeats
    points = vectors[kept]
    centre, places = points.mean(axis=0), likeness.place(points)
    axes = find_axes(points - centre)[1]
    folds = deal_folds(len(points), SEED)
    strangeness = learn_strangeness(likeness.axes_of(places), list(compress(labels, kept)), folds)
    return Sample(
        (points - centre) @ axes,
        centre,
        axes,
        near,
        likeness,
        places,
        find_nearest(places, max(NEAR_COUNTS)),
        strangeness,
        strangeness.measure(likeness.axes_of(places), folds),
    )


def compare_samples(first: Sample, second: np.ndarray, seed: int = SEED) -> Difference:
    """Tests whether two samples are of one distribution, near duplicates within each taken as one.

    Two kinds of statistics are standardised by the same random deals; the largest, or their sum where that is larger,
    counts against the same of every deal: the length of the difference of the means, for shifts of the whole sample,
    and how crowded by its own the twentieth part of the second sample is that is most so, among 20 and 60 nearest, for
    a minority of a new kind; there a strange vector counts more than a usual one.
    The means on the principal axes of the two samples together, with variances drawn half-way to equal; neighbours in
    the coordinates of `likeness`. A hundred deals, and a thousand where these leave a doubt.
    Bound: some thousand vectors; distances of pairs of the second and the first sample are held at a time.

    Args:
        first: the larger one.
        second: float32 `[m, dimension]` of length 1, finite; at least two, and not more than the first.
        seed: of the deals; the same samples give the same answer.
    """
    kept = np.flatnonzero(~_repeat_others(second, first.near))
    points = np.concatenate([first.points, (second[kept] - first.centre) @ first.axes])
    turned, variances = turn(narrow(points, len(kept)), MEAN_DIMENSIONS)
    spread = turned / variances**0.25
    nearest, strange = first.place(second[kept])
    weights = _rank(strange) ** 2
    for deal_count in DEAL_COUNTS:
        deals = _deal(len(points), len(kept), deal_count, seed)
        counts = [_count_own(nearest[:, :near], deals) for near in NEAR_COUNTS]
        crowds = [count * weights[deals] for count in counts]
        scores = _standardise(np.stack([_measure_means(spread, deals), *map(_average_crowded, crowds)]))
        largest = np.vstack([scores, _standardise(scores.sum(axis=0, keepdims=True))]).max(axis=0)
        p_value = float(np.mean(largest >= largest[0]))
        if p_value > GO_ON_BELOW:
            break
    strongest = int(scores[:, 0].argmax())
    crowding = counts[0][0] / min(NEAR_COUNTS[0], nearest.shape[1])
    own = spread[deals[0]]
    pulls = own @ (own.mean(axis=0) - spread[: len(first.points)].mean(axis=0))
    owed = np.lexsort((-pulls, -crowds[strongest - 1][0])) if strongest else np.argsort(-pulls, kind="stable")
    told = np.full(len(second), np.nan)
    told[kept] = crowding
    return Difference(
        p_value=p_value,
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
        squares = squared_distances(points[start : start + BLOCK_ROWS], points)
        is_before = np.arange(len(points)) < np.arange(start, start + len(squares))[:, None]
        repeats[start : start + len(squares)] = ((squares <= radius**2) & is_before).any(axis=1)
    return repeats


def _deal(total: int, count: int, deal_count: int, seed: int) -> np.ndarray:
    """Numbers `[1 + deals, count]` of the second sample: the real one, which is last, then random ones."""
    generator = np.random.default_rng(seed)
    random = [generator.choice(total, count, replace=False, shuffle=False) for _ in range(deal_count)]
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


def _rank(values: np.ndarray) -> np.ndarray:
    """Shares `[n]` of the values that are less, from 0 to nearly 1; of equal ones half counts as less."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((counts.cumsum() - counts / 2) / len(values))[places]


def _standardise(values: np.ndarray) -> np.ndarray:
    """By mean and deviation of all deals, the real one among them, so that it is not favoured."""
    deviations: Sequence[float] = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.maximum(deviations, 1e-12)
