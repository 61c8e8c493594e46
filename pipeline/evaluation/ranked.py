"""Ranked probabilities: of many classes, the largest one by one, and the others as means of groups of similar rank.

An image takes 26 numbers with 5,000 classes. The groups keep the sum of all powers of the probabilities, on which a
temperature depends, within a percent or so; at temperature 1 they keep it exactly.
"""

from typing import Final

import numpy as np

MANY: Final = 200  # classes; of more, probabilities are ranked
TOP_LABELS: Final = 16  # labels that a stored prediction lists, unless a setting says otherwise
OTHERS: Final = "*"  # key of the sum of the probabilities that are not listed
TOP: Final = 16  # probabilities that are kept one by one; the groups have 16, 32, 64, ... of the others


def group_sizes(class_count: int) -> np.ndarray:
    """Lists how many classes each column stands for, float64 `[m]`: `TOP` ones, then the sizes of the groups."""
    return np.diff(_bounds(class_count)).astype(np.float64)


def rank(probabilities: np.ndarray, label_index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks the probabilities of each image.

    Args:
        probabilities: float64 `[n, k]`, k more than `TOP`.
        label_index: class of each label, int `[n]`; -1 for a label that is no class.

    Returns:
        Probabilities in falling order, then group means, float64 `[n, m]`; the classes of the first `TOP`, int32
        `[n, TOP]`, the smaller index first among equals; and the column of each label, int32 `[n]`, or -1.
    """
    bounds, images = _bounds(probabilities.shape[1]), np.arange(len(probabilities))
    places = top_places(probabilities, TOP)
    falling = -np.partition(-probabilities, bounds[TOP:-1], axis=1)
    falling[:, :TOP] = np.take_along_axis(probabilities, places, axis=1)
    columns = np.add.reduceat(falling, bounds[:-1], axis=1) / np.diff(bounds)
    own = probabilities[images, label_index]
    above = (probabilities > own[:, None]).sum(axis=1)
    column = np.searchsorted(bounds, above, side="right") - 1
    is_top = places == label_index[:, None]
    column = np.where(is_top.any(axis=1), is_top.argmax(axis=1), column)
    return columns, places.astype(np.int32), np.where(label_index >= 0, column, -1).astype(np.int32)


def top_places(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Finds the classes with the largest probabilities, int64 `[n, count]`, in falling order; ties by their index."""
    count = min(count, probabilities.shape[1])
    found = np.sort(np.argpartition(-probabilities, count - 1, axis=1)[:, :count], axis=1)
    found[:, 0] = np.where((found == (best := probabilities.argmax(axis=1))[:, None]).any(axis=1), found[:, 0], best)
    order = np.argsort(-np.take_along_axis(probabilities, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _bounds(class_count: int) -> np.ndarray:
    """The rank at which each column begins, and the number of classes."""
    bounds = list(range(TOP + 1))
    while bounds[-1] < class_count:
        bounds.append(min(class_count, 2 * bounds[-1]))
    return np.array(bounds)
