"""Equal miniatures: which images are one photo in two encodings or sizes, by `embed/miniature.py` alone.

Executors import this module, so it uses numpy and OpenCV alone.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

import cv2
import numpy as np

from pipeline.embed.miniature import LUMA_SIDE

# Limits for two files of one photo, all needed. Of 5,154 photos of clothing and packages no two different ones
# correlate by more than .945 or differ by less than 6.9. Saved again, even at quality 30 or a quarter of the size, the
# worst of 350 correlates by .991 and differs by 2.0, and its quarters by 1.0.
MIN_CORRELATION: Final = 0.98  # of the fine structure
MAX_DIFFERENCE: Final = 4.0  # root mean square, of 255, in brightness and in colour
MAX_QUARTER_DIFFERENCE: Final = 2.0  # of the mean brightness of a quarter

FINEST: Final = 1.5  # deviation of a Gaussian in pixels; what is coarser is light rather than structure
MIN_STRUCTURE: Final = 16.0  # root of the sum of squares; blank images resemble each other, and photos have 47
STEP: Final = 2 * MAX_QUARTER_DIFFERENCE  # of keys; the fewest pairs among images on one ground
PAIRS_AT_ONCE: Final = 2**15  # 60 MB


def are_equal(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Finds which pairs of miniatures, uint8 `[n, 288]` each, are one photo, bool `[n]`; blank ones never are."""
    pairs = np.arange(len(some))
    return _compare(np.concatenate([some, others]), pairs, len(some) + pairs)


def _compare(miniatures: np.ndarray, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Like `are_equal`, for rows of some miniatures, whose structure is computed once."""
    squares = (miniatures[some].astype(np.float32) - miniatures[others]) ** 2
    luma, chroma = squares[:, : LUMA_SIDE**2].mean(axis=1), squares[:, LUMA_SIDE**2 :].mean(axis=1)
    is_equal = np.maximum(luma, chroma) <= MAX_DIFFERENCE**2
    near = np.flatnonzero(is_equal)
    asked, places = np.unique(np.concatenate([some[near], others[near]]), return_inverse=True)
    first, second = _structure(miniatures[asked])[places.reshape(2, -1)]
    is_equal[near] = np.einsum("ij,ij->i", first, second) >= MIN_CORRELATION
    return is_equal


def _structure(miniatures: np.ndarray) -> np.ndarray:
    """The fine structure of the brightness, `[n, 256]` of length 1, or 0 where there is none."""
    planes = miniatures[:, : LUMA_SIDE**2].reshape(-1, LUMA_SIDE, LUMA_SIDE).astype(np.float32)
    fine = np.array([plane - cv2.GaussianBlur(plane, (0, 0), FINEST) for plane in planes]).reshape(-1, LUMA_SIDE**2)
    fine = fine - fine.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(fine, axis=1, keepdims=True)
    return np.where(lengths >= MIN_STRUCTURE, fine / np.maximum(lengths, MIN_STRUCTURE), 0)


def measure_quarters(miniatures: np.ndarray) -> np.ndarray:
    """Means the brightness of the four quarters of miniatures, uint8 `[n, 288]`: float32 `[n, 4]`."""
    half = LUMA_SIDE // 2
    luma = miniatures[:, : LUMA_SIDE**2].reshape(-1, 2, half, 2, half)
    return luma.mean(axis=(2, 4), dtype=np.float32).reshape(-1, 4)


def home_keys(quarters: np.ndarray) -> np.ndarray:
    """The key of each image, int64 `[n]`, from its quarters."""
    return _encode(np.floor(quarters / STEP))


def near_keys(quarters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and keys, int64 `[m]`, of all images that may equal those of these quarters; at most 16 keys a row."""
    low, high = (np.floor((quarters + side * MAX_QUARTER_DIFFERENCE) / STEP) for side in (-1, 1))
    rows, keys = [], []
    for is_high in product((False, True), repeat=quarters.shape[1]):
        is_other = ~((low == high) & is_high).any(axis=1)
        rows.append(np.flatnonzero(is_other))
        keys.append(_encode(np.where(is_high, high, low)[is_other]))
    return np.concatenate(rows), np.concatenate(keys)


def _encode(steps: np.ndarray) -> np.ndarray:
    return (steps.astype(np.int64) + 1) @ 128 ** np.arange(steps.shape[1])


def find_equal(miniatures: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Finds all miniatures that equal a wanted one in a row before it; yields rows and the rows before them.

    Time and memory are those of the images with similar quarters: of photos, one in a thousand.

    Args:
        miniatures: uint8 `[n, 288]`.
        wanted: rows to find equal ones of.
    """
    quarters = measure_quarters(miniatures)
    homes = home_keys(quarters)
    order = np.argsort(homes, kind="stable")
    places, keys = near_keys(quarters[wanted])
    starts, ends = (np.searchsorted(homes[order], keys, side) for side in ("left", "right"))
    total = np.concatenate([[0], np.cumsum(ends - starts)])
    for begin in range(0, int(total[-1]), PAIRS_AT_ONCE):
        pairs = np.arange(begin, min(begin + PAIRS_AT_ONCE, total[-1]))
        key = np.searchsorted(total, pairs, "right") - 1
        rows, others = wanted[places[key]], order[starts[key] + pairs - total[key]]
        is_near = np.abs(quarters[rows] - quarters[others]).max(axis=1) <= MAX_QUARTER_DIFFERENCE
        near = np.flatnonzero(is_near & (others < rows))
        near = near[_compare(miniatures, rows[near], others[near])]
        yield rows[near], others[near]
