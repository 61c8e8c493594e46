"""Letterbox: fits an image of any shape into the square that a backbone takes, without distortion."""

from functools import cache
from typing import Final

import cv2
import numpy as np

PADDING: Final = (124, 116, 104)  # mean colour of ImageNet: nearly zero after normalisation, so it carries no signal

cv2.setNumThreads(1)  # a worker has one core. Never decode with OpenCV: its decoders crash on hostile files


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes an image to fit a square, keeps its aspect ratio, and pads the rest with `PADDING`.

    Args:
        image: uint8 RGB and an unused fourth channel, `[rows, columns, 4]`; less than twice as large as the square,
            else linear interpolation skips pixels.
        size: side of the square, in pixels.

    Returns:
        uint8 RGB, `[size, size, 3]`.
    """
    height, width = image.shape[:2]
    width, height = fit(width, height, size)
    pixels = _padding(size).copy()
    left, top = (size - width) // 2, (size - height) // 2
    # With three channels, OpenCV 4.14 and 5.0 read out of bounds on Apple processors (opencv issue 29794).
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels[top : top + height, left : left + width] = cv2.cvtColor(resized, cv2.COLOR_RGBA2RGB)
    return pixels


def squash(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes an image to a square without keeping its aspect ratio; arguments and result as of `letterbox`."""
    pixels = np.ascontiguousarray(image[:, :, :3])
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA))


def crop(image: np.ndarray, size: int) -> np.ndarray:
    """Cuts out the central square and resizes it; arguments and result as of `letterbox`."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    # With three channels, OpenCV 4.14 and 5.0 read out of bounds on Apple processors (opencv issue 29794).
    square = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_RGBA2RGB))


def fit(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height that fit the square, at least one pixel each."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


@cache
def _padding(size: int) -> np.ndarray:
    return np.full((size, size, 3), PADDING, np.uint8)
