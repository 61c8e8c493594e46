"""The quality screen: names images that are blank, blurred, dark, light or tiny, from pixels that are decoded anyway.

It judges how an image looks, not what it shows; what follows from a flag is decided elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

BLANK: Final = "blank"
BLURRED: Final = "blurred"
DARK: Final = "dark"
LIGHT: Final = "light"
TINY: Final = "tiny"
FLAGS: Final = (BLANK, BLURRED, DARK, LIGHT, TINY)
RARE: Final = "rare"  # stands for all flags that the training images hardly have
NONE: Final = "none"

SIDE: Final = 300  # pixels; sharpness of a larger image is judged at about this side, whatever the backbone takes
MARGIN: Final = 8  # share of the rows left out above and below, where no object is, to save time
MEAN_SLACK: Final = 6  # what outliers may add to the mean of a dark image, or take from that of a light one
GRID: Final = 8  # cells per side; noise averages out within a cell, a scene does not
ROUNDING: Final = 0.15  # deviation between cells that whole numbers leave in a black image with noise


@dataclass(frozen=True)
class QualityThresholds:
    """Thresholds of the flags; brightness and contrast on the scale from 0 to 255.

    Attributes:
        side: an image is tiny if its shorter side is below this number of pixels.
        dark: an image is dark if all channels are at most this value in nearly all pixels; cleanvision's 0.32.
        light: an image is light if its brightness is above this value in nearly all pixels.
        outlier_share: share of pixels that may be otherwise; cleanvision's 99th percentile. Its 5 % for light images
            would flag a small object on a white ground.
        contrast: maximum standard deviation of the brightness of a blank image, which may have noise.
        structure: maximum standard deviation between the cells of `GRID` in a blank image, as a share of its mean's
            distance from black or white: a darkened or faded photo keeps its share.
        sharpness: an image is blurred if in one direction the mean squared difference between neighbours is below this
            share of that between pixels two steps apart; 1/4 on a smooth slope, 1/2 at a sharp edge, 1 in noise.
        structure_share: a direction is judged if its differences exceed this share of the larger of rows and columns:
            along the legs of trousers there is nothing but shading.
        clear_sharpness: diagonals are not looked at if rows and columns both reach this value.
    """

    side: int = 32
    dark: int = 82
    light: int = 217
    outlier_share: float = 0.01
    contrast: float = 6.0
    structure: float = 0.02
    sharpness: float = 0.312
    structure_share: float = 0.08
    clear_sharpness: float = 0.36


DEFAULT_THRESHOLDS: Final = QualityThresholds()


def parse_flags(text: str) -> tuple[str, ...]:
    """Reads flags separated by commas; `NONE` stands for no flags.

    Raises:
        ValueError: if one is neither `RARE` nor of `FLAGS`.
    """
    if text.strip() == NONE:
        return ()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in (RARE, *FLAGS)]:
        raise ValueError(
            f"{unknown[0]!r:.60} is not a quality flag: write {RARE}, {NONE}, or some of {', '.join(FLAGS)}"
        )
    return names


def choose_flags(names: Sequence[str], rare: Sequence[str]) -> list[str]:
    """Replaces `RARE` among the names by the rare flags; sorted."""
    return sorted({*names} - {RARE} | ({*rare} if RARE in names else set()))


def find_flags(
    pixels: np.ndarray, width: int, height: int, thresholds: QualityThresholds = DEFAULT_THRESHOLDS
) -> list[str]:
    """Finds what is wrong with an image.

    Args:
        pixels: uint8 RGB and an unused fourth channel, `[rows, columns, 4]`, neither enlarged nor padded.
        width: width of the original, in pixels.
        height: height of the original, in pixels.
        thresholds: what counts as wrong.

    Returns:
        Those of `FLAGS` that apply, sorted. Sharpness is judged only if no other applies: it would measure noise.
    """
    rows, columns = pixels.shape[:2]
    step = math.ceil(math.sqrt(rows * columns) / SIDE)
    margin = rows // MARGIN
    grey = cv2.cvtColor(pixels[margin : rows - margin : step], cv2.COLOR_RGBA2GRAY)
    sample = grey[::4]  # decides at once that most images are neither blank nor dark nor light
    means, deviations = cv2.meanStdDev(sample)
    mean, deviation = means.item(), deviations.item()
    flags = []
    if deviation <= thresholds.contrast and _is_even(pixels, thresholds.structure * min(mean, 255 - mean)):
        flags.append(BLANK)
    if mean <= thresholds.dark + MEAN_SLACK and _is_dark(sample, pixels, thresholds):
        flags.append(DARK)
    if mean >= thresholds.light - MEAN_SLACK and _is_light(pixels, thresholds):
        flags.append(LIGHT)
    if min(width, height) < thresholds.side:
        flags.append(TINY)
    if not flags and _is_blurred(grey, step, thresholds):
        flags.append(BLURRED)
    return flags


def _is_even(pixels: np.ndarray, max_deviation: float) -> bool:
    cells = cv2.resize(pixels.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return bool(cells[..., :3].std(axis=(0, 1)).max() <= max_deviation + ROUNDING)


def _is_dark(sample: np.ndarray, pixels: np.ndarray, thresholds: QualityThresholds) -> bool:
    if _share_above(sample, thresholds.dark) > 3 * thresholds.outlier_share:
        return False
    brightest = pixels[..., :3].max(axis=2)  # pure blue is bright, though its grey is dark
    return _share_above(brightest, thresholds.dark) <= thresholds.outlier_share


def _is_light(pixels: np.ndarray, thresholds: QualityThresholds) -> bool:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGBA2GRAY)
    return _share_above(grey, thresholds.light) >= 1 - thresholds.outlier_share


def _share_above(values: np.ndarray, threshold: int) -> float:
    return cv2.countNonZero(cv2.threshold(values, threshold, 255, cv2.THRESH_BINARY)[1]) / values.size


def _is_blurred(grey: np.ndarray, step: int, thresholds: QualityThresholds) -> bool:
    """Judges each direction by itself, since motion blurs along its own only.

    Args:
        grey: brightness of every `step`-th row.
        step: distance of neighbours, in pixels.
        thresholds: see `QualityThresholds`.
    """
    if min(grey.shape) <= 4 * step:
        return False
    axes = [_compare(grey, down, across * step) for down, across in ((0, 1), (1, 0))]
    min_far = thresholds.structure_share * max(far for _, far in axes)
    sharpness = _min_sharpness(axes, min_far)
    if thresholds.sharpness <= sharpness < thresholds.clear_sharpness:
        sharpness = _min_sharpness([_compare(grey, 1, across) for across in (step, -step)], min_far)
    return sharpness < thresholds.sharpness


def _min_sharpness(compared: list[tuple[float, float]], min_far: float) -> float:
    """The least sharp of directions; 1 if none has structure to judge."""
    return min((near / far for near, far in compared if far > min_far), default=1.0)


def _compare(grey: np.ndarray, down: int, across: int) -> tuple[float, float]:
    """Differences between neighbours in one direction, and between pixels twice as far apart."""
    return _difference(grey, down, across), _difference(grey, 2 * down, 2 * across)


def _difference(grey: np.ndarray, down: int, across: int) -> float:
    """Mean squared difference between pixels and those so many rows and columns away."""
    if not down:
        grey = grey[::2]
    height, width = grey.shape
    here = grey[: height - down, max(0, -across) : width - max(0, across)]
    there = grey[down:, max(0, across) : width + min(0, across)]
    return cv2.norm(here, there, cv2.NORM_L2SQR) / here.size
