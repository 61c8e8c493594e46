"""Pixel scaling: from uint8 RGB to the numbers that a network was trained on.

Here belong the few conventions of the field, by name, as plain arithmetic; `graph.py` folds them into a backbone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PixelScaling:
    """What happens to a pixel before the first layer: `channels * scale + offset`.

    Attributes:
        name: of the convention.
        scale: factor of each channel, in the order in which the network takes them.
        offset: added to each channel, in the same order.
        is_bgr: whether the network takes blue first.
    """

    name: str
    scale: Triple
    offset: Triple
    is_bgr: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Scales uint8 RGB `[n, height, width, 3]` to float32 of the same shape."""
        channels = pixels[..., ::-1] if self.is_bgr else pixels
        return channels.astype(np.float32) * np.array(self.scale, np.float32) + np.array(self.offset, np.float32)


def _standardise(mean: Triple, deviation: Triple) -> tuple[Triple, Triple]:
    """Scale and offset of `(channels / 255 - mean) / deviation`."""
    scale = tuple(1 / (255 * each) for each in deviation)
    offset = tuple(-m / d for m, d in zip(mean, deviation, strict=True))
    return (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2])


RAW: Final = PixelScaling("raw", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
"""0 to 255: the network scales by itself, as EfficientNet and MobileNetV3 of Keras do."""

UNIT: Final = PixelScaling("unit", (1 / 255, 1 / 255, 1 / 255), (0.0, 0.0, 0.0))
"""0 to 1."""

SYMMETRIC: Final = PixelScaling("symmetric", (1 / 127.5, 1 / 127.5, 1 / 127.5), (-1.0, -1.0, -1.0))
"""-1 to 1: the mode `tf` of Keras."""

IMAGENET: Final = PixelScaling("imagenet", *_standardise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
"""ImageNet's mean and deviation of each channel: PyTorch's, and the mode `torch` of Keras."""

CAFFE: Final = PixelScaling("caffe", (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), is_bgr=True)
"""Blue first, less ImageNet's mean: the mode `caffe` of Keras."""

SCALINGS: Final = {scaling.name: scaling for scaling in (RAW, UNIT, SYMMETRIC, IMAGENET, CAFFE)}
