"""Pixel scaling: the common conventions for turning uint8 RGB into a network's input, by name.

`graph.py` builds them into a backbone; here they are plain arithmetic.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PixelScaling:
    """Arithmetic on a pixel before the first layer: `channels * scale + offset`.

    Attributes:
        name: name of the convention.
        scale: factor of each channel, in the network's channel order.
        offset: addend of each channel, in the same order.
        is_bgr: whether the channel order is blue, green, red.
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
"""0 to 255: the network scales internally, as EfficientNet and MobileNetV3 of Keras do."""

UNIT: Final = PixelScaling("unit", (1 / 255, 1 / 255, 1 / 255), (0.0, 0.0, 0.0))
"""0 to 1."""

SYMMETRIC: Final = PixelScaling("symmetric", (1 / 127.5, 1 / 127.5, 1 / 127.5), (-1.0, -1.0, -1.0))
"""-1 to 1: mode `tf` of Keras."""

IMAGENET: Final = PixelScaling("imagenet", *_standardise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
"""ImageNet's mean and deviation of each channel: PyTorch, and mode `torch` of Keras."""

CAFFE: Final = PixelScaling("caffe", (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), is_bgr=True)
"""Blue first, minus ImageNet's mean: mode `caffe` of Keras."""

SCALINGS: Final = {scaling.name: scaling for scaling in (RAW, UNIT, SYMMETRIC, IMAGENET, CAFFE)}
