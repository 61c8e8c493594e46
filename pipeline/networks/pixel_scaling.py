"""Pixel scaling: the common conventions for turning uint8 RGB into a network's input, by name.

`graph.py` builds them into a backbone; here they are plain arithmetic.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

_MEAN: Final = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue, from 0 to 1
_DEVIATION: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PixelScaling:
    """Arithmetic on a pixel before the first layer: `channels * scale + offset`, in the network's channel order."""

    name: str
    scale: tuple[float, ...]  # by channel
    offset: tuple[float, ...]  # by channel
    is_bgr: bool = False  # the network's order is blue, green, red

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Scales uint8 RGB `[n, height, width, 3]` to float32 of the same shape."""
        channels = pixels[..., ::-1] if self.is_bgr else pixels
        return channels.astype(np.float32) * np.array(self.scale, np.float32) + np.array(self.offset, np.float32)


RAW: Final = PixelScaling("raw", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))  # 0 to 255, for networks that scale internally
UNIT: Final = PixelScaling("unit", (1 / 255, 1 / 255, 1 / 255), (0.0, 0.0, 0.0))  # 0 to 1
SYMMETRIC: Final = PixelScaling("symmetric", (1 / 127.5, 1 / 127.5, 1 / 127.5), (-1.0, -1.0, -1.0))  # -1 to 1
IMAGENET: Final = PixelScaling(
    "imagenet",
    tuple(1 / (255 * deviation) for deviation in _DEVIATION),
    tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
)
CAFFE: Final = PixelScaling("caffe", (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), is_bgr=True)
SCALINGS: Final = {scaling.name: scaling for scaling in (RAW, UNIT, SYMMETRIC, IMAGENET, CAFFE)}
"""By name; symmetric, imagenet and caffe are the modes `tf`, `torch` and `caffe` of Keras."""
