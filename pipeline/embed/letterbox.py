"""The letterbox: a picture of any shape becomes the square that a backbone takes, its shape kept."""

from functools import cache
from typing import Final

import cv2
import numpy as np

PADDING: Final = (124, 116, 104)
"""The mean colour of ImageNet: after normalisation it is nearly zero, so that the padding says nothing."""

cv2.setNumThreads(1)  # a worker has one core; nothing of OpenCV decodes: its decoders crash on hostile files


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes a picture to a square, its shape kept, between bars of the colour `PADDING`.

    Args:
        image: uint8 RGB and a fourth channel that means nothing, `[rows, columns, 4]`; linear interpolation skips
            pixels of one that is twice the square or more.
        size: side of the square, in pixels.

    Returns:
        uint8 RGB, `[size, size, 3]`.
    """
    height, width = image.shape[:2]
    width, height = fit(width, height, size)
    pixels = _padding(size).copy()
    left, top = (size - width) // 2, (size - height) // 2
    # Of three channels OpenCV 4.14 and 5.0 read beyond the end on Apple's processors (opencv issue 29794).
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels[top : top + height, left : left + width] = cv2.cvtColor(resized, cv2.COLOR_RGBA2RGB)
    return pixels


def fit(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of a picture as it fits the square, of one pixel at least."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


@cache
def _padding(size: int) -> np.ndarray:
    return np.full((size, size, 3), PADDING, np.uint8)
