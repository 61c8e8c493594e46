"""Miniatures: an image as 288 numbers, by which a copy in another encoding or size is recognised without its bytes.

What follows from equal miniatures is decided elsewhere.
"""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

LUMA_SIDE: Final = 16
CHROMA_SIDE: Final = 4
BYTES: Final = LUMA_SIDE**2 + 2 * CHROMA_SIDE**2
SAMPLED_SIDE: Final = 32  # of the colours; brightness needs every pixel, or sizes differ


def make_miniature(pixels: np.ndarray) -> bytes:
    """Shrinks decoded pixels to 16 × 16 of brightness and twice 4 × 4 of colour (YCrCb), whatever their aspect ratio.

    Args:
        pixels: uint8 RGB and an unused fourth channel, `[rows, columns, 4]`, neither enlarged nor padded.

    Returns:
        `BYTES` bytes: rows of the brightness, then rows of both colour channels, interleaved.
    """
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2GRAY)).astype(np.float32)
    luma = _cover(grey.shape[0]) @ grey @ _cover(grey.shape[1]).T  # a third of the time of OpenCV's INTER_AREA
    sampled = cv2.resize(pixels, (SAMPLED_SIDE, SAMPLED_SIDE), interpolation=cv2.INTER_LINEAR)
    luma_first = cv2.cvtColor(np.ascontiguousarray(sampled[:, :, :3]), cv2.COLOR_RGB2YCrCb)
    chroma = cv2.resize(luma_first[:, :, 1:], (CHROMA_SIDE, CHROMA_SIDE), interpolation=cv2.INTER_AREA)
    return np.rint(luma).astype(np.uint8).tobytes() + np.asarray(chroma).tobytes()


@lru_cache(maxsize=16)  # photos share few sizes, and hostile ones may be long
def _cover(count: int) -> np.ndarray:
    """The share of each pixel of a line in each cell, float32 `[LUMA_SIDE, count]`; rows sum to 1."""
    edges = np.linspace(0, count, LUMA_SIDE + 1)
    pixels = np.arange(count)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) * (LUMA_SIDE / count)).astype(np.float32)
