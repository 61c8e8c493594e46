"""Pixel scaling: from uint8 RGB to a network's input, by the name of a convention or by mean and deviation.

`graph.py` builds it into a backbone; here it is plain arithmetic.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np


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


def normalise(name: str, mean: Sequence[float], deviation: Sequence[float], rescale: float = 1 / 255) -> PixelScaling:
    """The scaling `(channels * rescale - mean) / deviation`, with one number for each of red, green and blue."""
    return PixelScaling(
        name,
        tuple(rescale / each for each in deviation),
        tuple(-each / by for each, by in zip(mean, deviation, strict=True)),
    )


RAW: Final = PixelScaling("raw", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))  # 0 to 255, for networks that scale internally
UNIT: Final = PixelScaling("unit", (1 / 255, 1 / 255, 1 / 255), (0.0, 0.0, 0.0))  # 0 to 1
SYMMETRIC: Final = PixelScaling("symmetric", (1 / 127.5, 1 / 127.5, 1 / 127.5), (-1.0, -1.0, -1.0))  # -1 to 1
IMAGENET: Final = normalise("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE: Final = PixelScaling("caffe", (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), is_bgr=True)
CLIP: Final = normalise("clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SCALINGS: Final = {scaling.name: scaling for scaling in (RAW, UNIT, SYMMETRIC, IMAGENET, CAFFE, CLIP)}
"""By name; symmetric, imagenet and caffe are the modes `tf`, `torch` and `caffe` of Keras, clip is OpenAI's."""

_NUMBER: Final = r"\d+(?:\.\d+)?(?:e-?\d+)?"
_NORMALISATION: Final = re.compile(rf"mean ((?:{_NUMBER} ?){{1,3}}) ?deviation ((?:{_NUMBER} ?){{1,3}})")


def parse_scaling(text: str) -> PixelScaling:
    """Finds a scaling by its name, or reads one such as `mean 0.5 0.5 0.5 deviation 0.5 0.5 0.5`.

    Mean and deviation are those of red, green and blue on the scale from 0 to 1; one number counts for all three.

    Raises:
        ValueError: if it is neither.
    """
    if text in SCALINGS:
        return SCALINGS[text]
    found = _NORMALISATION.fullmatch(" ".join(text.replace(",", " ").split()))
    mean, deviation = ([float(each) for each in part.split()] for part in found.groups()) if found else ([], [])
    if {len(mean), len(deviation)} <= {1, 3} and all(deviation):
        return normalise(text, mean * (3 // len(mean)), deviation * (3 // len(deviation)))
    raise ValueError(
        f"{text!r:.80} is no pixel scaling: write one of {', '.join(SCALINGS)}, or text such as"
        " 'mean 0.5 0.5 0.5 deviation 0.25 0.25 0.25'"
    )
