"""Pretrained networks: the input of an export, independent of framework and source.

`catalogue/` makes them from named backbones, `own/` from user-supplied files; `export.py` turns them into graphs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx

from pipeline.embed.backbone import Embed
from pipeline.networks.pixel_scaling import PixelScaling

CLASS_COUNT: Final = 1000  # of ImageNet; some networks have one more, a background class, as the first


class PretrainedError(ValueError):
    """A network that cannot become a backbone; the message is one sentence with the reason and the cure."""


@dataclass(frozen=True)
class LastLayer:
    """The classifier that came with the weights, which takes the features as input."""

    kernel: np.ndarray  # float32 [d, classes]
    bias: np.ndarray  # float32 [classes]

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Computes logits `[n, classes]` from features `[n, d]`."""
        logits: np.ndarray = features @ self.kernel + self.bias
        return logits


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network in its own framework.

    Attributes:
        name: name in the catalogue, or of the user's file.
        size: height and width of input images, in pixels.
        scaling: pixel scaling that the network expects.
        embed: reference for parity: the features computed by the framework with its own preprocessing, from uint8 RGB
            `[n, size, size, 3]` to float32 `[n, d]`.
        convert: function that makes the bare graph, from scaled float pixels, `[n, 3, size, size]` or
            `[n, size, size, 3]`, to `[n, d]`; one input, one output, free n.
        last_layer: ImageNet classifier on the features, if the weights came with one.
        readings: values of DAYLIGHT_FEATURES_TENSOR between which the user's file leaves a choice, such as CLS and mean
            of its tokens, the likeliest first; empty for the networks of the catalogue.
        provenance: origin, licence, weights and versions, by name; stored in the graph.
    """

    name: str
    size: int
    scaling: PixelScaling
    embed: Embed
    convert: Callable[[], onnx.ModelProto]
    last_layer: LastLayer | None = None
    readings: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
