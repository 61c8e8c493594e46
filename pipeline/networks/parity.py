"""Parity: how far the features of a stored graph are from those of the network that it was made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.backbone import Backbone, Embed, load_backbone

MAX_SCALED_DIFFERENCE: Final[Mapping[str, float]] = {"fp32": 1e-4, "int8": 0.5}
"""By precision, in units of the largest feature: rounding for fp32; int8 is judged by the cosine."""

LEAST_COSINE: Final[Mapping[str, float]] = {"fp32": 0.9999, "int8": 0.9}


@dataclass(frozen=True)
class Parity:
    """How far a graph is from its network, on the same pictures.

    Attributes:
        max_abs_difference: between any two features.
        scaled_difference: the same, in units of the largest feature.
        relative_difference: the same, in units of the standard deviation between pictures: a network whose features
            hardly differ from picture to picture has a small difference, and is wrong all the same.
        smallest_cosine: between the two feature vectors of a picture.
    """

    max_abs_difference: float
    scaled_difference: float
    relative_difference: float
    smallest_cosine: float

    def is_within(self, precision: str) -> bool:
        """Whether the graph is as near to its network as its precision allows."""
        return (
            self.scaled_difference <= MAX_SCALED_DIFFERENCE[precision]
            and self.smallest_cosine >= LEAST_COSINE[precision]
        )


def measure_parity(embed: Embed, backbone: Backbone, pixels: np.ndarray) -> Parity:
    """Compares the features of a network and of its graph.

    Args:
        embed: the network in its own framework, as `Pretrained.embed`.
        backbone: the graph that was made of it.
        pixels: uint8 RGB, `[n, size, size, 3]`; real pictures, of which at least two differ.
    """
    return compare_features(embed(pixels), load_backbone(backbone.path)(pixels))


def compare_features(expected: np.ndarray, actual: np.ndarray) -> Parity:
    """Compares two matrices of features, float32 `[n, d]`, row by row."""
    difference = float(np.abs(actual - expected).max())
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    return Parity(
        max_abs_difference=difference,
        scaled_difference=difference / float(np.abs(expected).max()),
        relative_difference=difference / float(expected.std(axis=0).mean()),
        smallest_cosine=float(((actual * expected).sum(axis=1) / norms).min()),
    )
