"""Alignment: whether two images show the same shot, by their pixels.

One image is aligned with the other, mirrored or not, by a shift, a scale and a small rotation; then their fine
structure must correlate. `candidate_pairs.py` selects the images to compare.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import cv2
import numpy as np

ALIGNMENT: Final = 1  # version of this module: raise it with a change of correlations, or stored ones stay
SIDE: Final = 96  # pixels
COARSE_SIDE: Final = 32  # pixels; a crop of 15 % is a shift of few pixels there, so the first search converges
MIN_COARSE_CORRELATION: Final = 0.6  # needed to compare the fine images; near-duplicates exceed 0.8
CERTAIN_CORRELATION: Final = 0.9  # from here on, the mirrored image is not tried
MARGIN: Final = 5  # pixels at each edge that are not compared; a rotation leaves them empty
MIN_OVERLAP: Final = 0.6
FINEST, COARSEST = 0.8, 4.0  # compared band, as deviations of Gaussians in pixels: finer is noise, coarser is light
EVERYWHERE: Final = cast("np.ndarray", None)  # no mask; OpenCV's type stubs require one


def correlate_images(one: np.ndarray, other: np.ndarray) -> float:
    """Aligns two images, uint8 RGB `[96, 96, 3]`, and correlates their fine structure; 0 where that is impossible."""
    best = 0.0
    for candidate in sorted(_align_coarsely(one, other), key=lambda candidate: -candidate.correlation):
        best = max(best, _compare_finely(one, candidate))
        if best >= CERTAIN_CORRELATION:
            break
    return best


class _Alignment(NamedTuple):
    image: np.ndarray  # mirrored or not
    warp: np.ndarray  # aligns it with the other image
    correlation: float  # of the coarse images


def _align_coarsely(one: np.ndarray, other: np.ndarray) -> Iterator[_Alignment]:
    scale = SIDE / COARSE_SIDE
    for image in (other, np.ascontiguousarray(other[:, ::-1])):
        found = _search(_coarse(one), _coarse(image), np.eye(2, 3, dtype=np.float32), 50, 1e-3)
        if found and found[1] >= MIN_COARSE_CORRELATION:
            warp, correlation = found
            warp[:, 2] = warp[:, 2] * scale + (scale - 1) / 2 * (1 - warp[:, :2].sum(axis=1))
            yield _Alignment(image, warp, correlation)


def _compare_finely(one: np.ndarray, other: _Alignment) -> float:
    found = _search(_grey(one), _grey(other.image), other.warp, 30, 1e-4)
    if not found:
        return 0.0
    size, warp = (SIDE, SIDE), found[0]
    frame = np.pad(np.ones((SIDE - 2 * MARGIN, SIDE - 2 * MARGIN), np.uint8), MARGIN)
    nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    inside = np.logical_and(cv2.warpAffine(frame, warp, size, flags=nearest), frame)
    if inside.sum() < MIN_OVERLAP * frame.sum():
        return 0.0
    bilinear, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    aligned = cv2.warpAffine(other.image.astype(np.float32), warp, size, flags=bilinear, borderMode=edge)
    first, second = _structure(one.astype(np.float32))[inside], _structure(np.asarray(aligned))[inside]
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    energy = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / energy if energy > 0 else 0.0


def _search(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, rounds: int, epsilon: float
) -> tuple[np.ndarray, float] | None:
    """Finds the affine warp that maximises the correlation of two grey images (ECC, Evangelidis and Psarakis 2008)."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, rounds, epsilon)
    try:
        correlation, warp = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, criteria, EVERYWHERE, 5)
    except cv2.error:  # it does not converge, or an image has no structure
        return None
    return warp.copy(), float(correlation)


def _structure(plane: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), FINEST) - cv2.GaussianBlur(plane, (0, 0), COARSEST))


def _coarse(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(_grey(image), (COARSE_SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
