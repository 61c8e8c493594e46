"""Fits: the ways to fit an image of any shape into a square, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.embed.letterbox import crop, letterbox, squash


@dataclass(frozen=True)
class Fit:
    """A way to fit images into a square.

    Attributes:
        name: in the metadata of a graph.
        place: function from decoded pixels, as from `decode.load`, and a side to uint8 RGB `[side, side, 3]`.
        measure: function from width and height to the length that becomes the side: `max` or `min`.
    """

    name: str
    place: Callable[[np.ndarray, int], np.ndarray]
    measure: Callable[[int, int], int]

    def scale(self, width: int, height: int, size: int) -> tuple[int, int]:
        """Width and height of the whole image when it fits a square of `size`, at least one pixel each."""
        factor = size / self.measure(width, height)
        return max(1, round(width * factor)), max(1, round(height * factor))

    def is_near(self, width: int, height: int, size: int) -> bool:
        """Whether an image is less than twice as large as it should be, so that `place` skips no pixels."""
        return self.measure(width, height) < 2 * size


LETTERBOX: Final = Fit("letterbox", letterbox, max)
SQUASH: Final = Fit("squash", squash, max)
CROP: Final = Fit("crop", crop, min)
FITS: Final = {fit.name: fit for fit in (LETTERBOX, CROP)}
"""Those of backbones by name, the likelier first."""
