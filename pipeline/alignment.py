"""Alignment: whether two pictures show the very same, told from their pixels.

One is laid over the other, mirrored or not, shifted, scaled, turned a little; then their fine structure must agree.
Which pictures are compared is `neighbours.py`, what follows from it `twins.py`.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from pipeline.letterbox import letterbox  # noqa: F401 keeps OpenCV on one core
from pipeline.preprocess import UnreadablePictureError, load

SIDE: Final = 96
COARSE_SIDE: Final = 32
"""On which a crop of 15 % is a shift of few pixels, so that the search finds its way."""

COARSE_LEAST: Final = 0.6
"""Correlation of the coarse pictures, below which the fine ones are not looked at; twins have more than 0.8."""

ENOUGH: Final = 0.9
"""Correlation at which the mirrored picture need not be tried."""

LEAST_OVERLAP: Final = 0.6
FINEST, COARSEST = 0.8, 4.0
"""Of the structure that is compared, as deviations of Gaussians in pixels: finer is noise of JPEG, coarser is light."""


def shrink_picture(content: bytes, max_pixels: int) -> np.ndarray | None:
    """Decodes a picture to uint8 RGB `[96, 96, 3]`, whatever its shape; None where it cannot be decoded."""
    try:
        image = load(content, SIDE, max_pixels).image
    except UnreadablePictureError:
        return None
    return cv2.resize(np.ascontiguousarray(image[:, :, :3]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def correlate_pictures(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of the fine structure of two shrunken pictures in all colours, once they lie on each other.

    Returns:
        At most 1; 0 where they cannot be laid on each other, or where one has no structure at all.
    """
    best = 0.0
    for warp, turned in sorted(_lay_coarsely(one, other), key=lambda found: -found[0][1]):
        best = max(best, _compare_finely(one, turned, warp[0]))
        if best >= ENOUGH:
            break
    return best


def _lay_coarsely(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[tuple[np.ndarray, float], np.ndarray]]:
    """The other picture as it is and mirrored, each with its warp in fine pixels and the coarse correlation."""
    scale = SIDE / COARSE_SIDE
    for turned in (other, np.ascontiguousarray(other[:, ::-1])):
        found = _search(_coarse(one), _coarse(turned), np.eye(2, 3, dtype=np.float32), 50, 1e-3)
        if found and found[1] >= COARSE_LEAST:
            warp, correlation = found
            warp[:, 2] = warp[:, 2] * scale + (scale - 1) / 2 * (1 - warp[:, :2].sum(axis=1))
            yield (warp, correlation), turned


def _compare_finely(one: np.ndarray, other: np.ndarray, warp: np.ndarray) -> float:
    found = _search(_grey(one), _grey(other), warp, 30, 1e-4)
    if not found:
        return 0.0
    size, warp = (SIDE, SIDE), found[0]
    inside = cv2.warpAffine(np.ones(size, np.uint8), warp, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    if inside.mean() < LEAST_OVERLAP:
        return 0.0
    plane = one.astype(np.float32)
    laid = cv2.warpAffine(other.astype(np.float32), warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    laid = np.where(inside[..., None], laid, plane)
    first, second = _structure(plane)[inside], _structure(laid)[inside]
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    energy = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / energy if energy > 0 else 0.0


def _search(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, rounds: int, epsilon: float
) -> tuple[np.ndarray, float] | None:
    """The affine warp by which two grey pictures correlate best (ECC; Evangelidis and Psarakis, 2008), if there is one."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, rounds, epsilon)
    try:
        correlation, warp = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, criteria, None, 5)
    except cv2.error:  # it does not converge, or there is nothing in a picture
        return None
    return warp.copy(), float(correlation)


def _structure(plane: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), FINEST) - cv2.GaussianBlur(plane, (0, 0), COARSEST))


def _coarse(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(_grey(picture), (COARSE_SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA))


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
