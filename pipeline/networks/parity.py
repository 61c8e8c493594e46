"""Parity: how far the features of a stored graph are from those of the network that it was made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.embed.backbone import Backbone, Embed, load_backbone
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos
from pipeline.networks.pretrained import Pretrained

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


LEAST_RIGHT_SHARE: Final = 0.8
"""Of the known photos, 0 to 1."""


def tell_failure(backbone: Backbone, pretrained: Pretrained) -> str | None:
    """Which proof a graph fails, in words; None where it passes all that its network allows.

    A graph that was calibrated on pictures which are nothing like photos may: its ranges are not theirs.
    """
    parity = measure_parity(pretrained.embed, backbone, decode_known_photos(backbone.size))
    if not parity.is_within(backbone.precision):
        least = LEAST_COSINE[backbone.precision]
        return (
            f"its features of known photos are not those of the network (cosine {parity.smallest_cosine:.3f},"
            f" allowed {least}; difference {parity.scaled_difference:.3f} of their scale)"
        )
    if pretrained.last_layer is None:
        return None
    answers = classify_known_photos(backbone, pretrained.last_layer)
    right_share = sum(answer.is_right for answer in answers) / len(answers)
    if right_share < LEAST_RIGHT_SHARE:
        return f"it names only {right_share:.0%} of the known photos rightly"
    return None
