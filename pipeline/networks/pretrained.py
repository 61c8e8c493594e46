"""Pretrained networks: what an export needs to know of one, whichever framework it comes from.

The named ones are `catalogue.py`, a user's own `own_network.py`; what is made of one is `export.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.embed.backbone import Embed
from pipeline.networks.pixel_scaling import PixelScaling

if TYPE_CHECKING:
    import onnx


class PretrainedError(ValueError):
    """A network that cannot become a backbone; its text is one sentence that says why, and what to do."""


@dataclass(frozen=True)
class LastLayer:
    """The classifier that the weights came with, which stands on the features.

    Attributes:
        kernel: float32 `[d, classes]`.
        bias: float32 `[classes]`.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def classify(self, features: np.ndarray) -> np.ndarray:
        """The logits `[n, classes]` of features `[n, d]`."""
        logits: np.ndarray = features @ self.kernel + self.bias
        return logits


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network in its own framework.

    Attributes:
        name: in the catalogue, or of the user's file.
        size: side of the square pictures that it takes, in pixels.
        scaling: what it expects of its pixels.
        embed: the features as its framework computes them, its own preprocessing included: from uint8 RGB
            `[n, size, size, 3]` to float32 `[n, d]`. What the exported graph is measured against.
        convert: makes the bare graph: scaled float pixels, `[n, 3, size, size]` or `[n, size, size, 3]`, to `[n, d]`;
            one input, one output, n free.
        last_layer: the ImageNet classifier on the features, where the weights came with one.
        provenance: origin, licence, weights and versions, by name; it is written into the graph.
    """

    name: str
    size: int
    scaling: PixelScaling
    embed: Embed
    convert: Callable[[], "onnx.ModelProto"]
    last_layer: LastLayer | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


CLASS_COUNT: Final = 1000
"""Of ImageNet; one more where a network has a class for the background, its first."""
