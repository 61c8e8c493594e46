"""Alignment: whether two pictures show the very same, told from their pixels.

One is laid over the other, mirrored or not, shifted, scaled, turned a little; then their fine structure must agree.
Which pictures are compared is `neighbours.py`, what follows from it `twins.py`.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import cv2
import numpy as np

from pipeline.embed.decode import load
from pipeline.embed.reasons import UnreadableImageError

SIDE: Final = 96
COARSE_SIDE: Final = 32
"""On which a crop of 15 % is a shift of few pixels, so that the search finds its way."""

COARSE_LEAST: Final = 0.6
"""Correlation of the coarse pictures, below which the fine ones are not looked at; twins have more than 0.8."""

ENOUGH: Final = 0.9
"""Correlation at which the mirrored picture need not be tried."""

MARGIN: Final = 5
"""Of both pictures, in pixels, which is not compared: what a rotation left empty lies there."""

LEAST_OVERLAP: Final = 0.6
FINEST, COARSEST = 0.8, 4.0
"""Of the structure that is compared, as deviations of Gaussians in pixels: finer is noise of JPEG, coarser is light."""


def shrink_image(content: bytes, max_pixels: int) -> np.ndarray | None:
    """Decodes a picture to uint8 RGB `[96, 96, 3]`, whatever its shape; None where it cannot be decoded."""
    try:
        image = load(content, SIDE, max_pixels).pixels
    except UnreadableImageError:
        return None
    return cv2.resize(np.ascontiguousarray(image[:, :, :3]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def correlate_images(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of the fine structure of two shrunken pictures in all colours, once they lie on each other.

    Returns:
        At most 1; 0 where they cannot be laid on each other, or where one has no structure at all.
    """
    best = 0.0
    for laid in sorted(_lay_coarsely(one, other), key=lambda laid: -laid.correlation):
        best = max(best, _compare_finely(one, laid))
        if best >= ENOUGH:
            break
    return best


class _Laid(NamedTuple):
    """A picture, as it is or mirrored, and the warp that lays it on another one, with their coarse correlation."""

    picture: np.ndarray
    warp: np.ndarray
    correlation: float


def _lay_coarsely(one: np.ndarray, other: np.ndarray) -> Iterator[_Laid]:
    scale = SIDE / COARSE_SIDE
    for turned in (other, np.ascontiguousarray(other[:, ::-1])):
        found = _search(_coarse(one), _coarse(turned), np.eye(2, 3, dtype=np.float32), 50, 1e-3)
        if found and found[1] >= COARSE_LEAST:
            warp, correlation = found
            warp[:, 2] = warp[:, 2] * scale + (scale - 1) / 2 * (1 - warp[:, :2].sum(axis=1))
            yield _Laid(turned, warp, correlation)


def _compare_finely(one: np.ndarray, other: _Laid) -> float:
    found = _search(_grey(one), _grey(other.picture), other.warp, 30, 1e-4)
    if not found:
        return 0.0
    size, warp = (SIDE, SIDE), found[0]
    frame = np.zeros(size, np.uint8)
    frame[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    inside = np.logical_and(cv2.warpAffine(frame, warp, size, flags=nearest), frame)
    if inside.sum() < LEAST_OVERLAP * frame.sum():
        return 0.0
    bilinear, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    laid = cv2.warpAffine(other.picture.astype(np.float32), warp, size, flags=bilinear, borderMode=edge)
    first, second = _structure(one.astype(np.float32))[inside], _structure(np.asarray(laid))[inside]
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    energy = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / energy if energy > 0 else 0.0


def _search(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, rounds: int, epsilon: float
) -> tuple[np.ndarray, float] | None:
    """The affine warp by which two grey pictures correlate best (ECC, Evangelidis and Psarakis 2008), or None."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, rounds, epsilon)
    try:
        correlation, warp = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, criteria, _EVERYWHERE, 5)
    except cv2.error:  # it does not converge, or there is nothing in a picture
        return None
    return warp.copy(), float(correlation)


_EVERYWHERE: Final = cast("np.ndarray", None)
"""No mask: OpenCV's types know the call with a filter only with one."""


def _structure(plane: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), FINEST) - cv2.GaussianBlur(plane, (0, 0), COARSEST))


def _coarse(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(_grey(picture), (COARSE_SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA))


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
