"""Parity: the difference between the features of a stored graph and those of the network it was exported from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.embed.backbone import Backbone, Embed, load_backbone
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos
from pipeline.networks.pretrained import Pretrained

MAX_SCALED_DIFFERENCE: Final[Mapping[str, float]] = {"fp32": 1e-4, "int8": 0.5}  # fp32: rounding; int8: cosine decides
MIN_COSINE: Final[Mapping[str, float]] = {"fp32": 0.9999, "int8": 0.9}
MIN_CORRECT_SHARE: Final = 0.8  # of the known photos


@dataclass(frozen=True)
class Parity:
    """Differences between a graph and its network on the same images.

    A network whose features hardly differ between images can have a small absolute difference and still be wrong.
    """

    max_abs_difference: float
    scaled_difference: float  # in units of the largest feature
    relative_difference: float  # in units of the standard deviation between images
    smallest_cosine: float  # between the two feature vectors of an image

    def is_within(self, precision: str) -> bool:
        """Whether the differences keep the limits of a precision."""
        is_close = self.scaled_difference <= MAX_SCALED_DIFFERENCE[precision]
        return is_close and self.smallest_cosine >= MIN_COSINE[precision]


def measure_parity(embed: Embed, backbone: Backbone, pixels: np.ndarray) -> Parity:
    """Compares the features of a network, as `Pretrained.embed` computes them, and of the graph exported from it.

    The pixels, uint8 RGB `[n, size, size, 3]`, are of real images, at least two of them different.
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


def explain_failure(backbone: Backbone, pretrained: Pretrained) -> str | None:
    """Describes why a graph fails parity or the known photos; None if it passes.

    An int8 graph may fail if its calibration images are unlike photos: its activation ranges do not suit them.
    """
    parity = measure_parity(pretrained.embed, backbone, decode_known_photos(backbone.size))
    if not parity.is_within(backbone.precision):
        return (
            f"its features of the known photos differ from those of the network (cosine {parity.smallest_cosine:.3f},"
            f" minimum {MIN_COSINE[backbone.precision]}; difference {parity.scaled_difference:.3f} of their scale)"
        )
    if pretrained.last_layer is None:
        return None
    is_correct = classify_known_photos(backbone, pretrained.last_layer)
    share = sum(is_correct.values()) / len(is_correct)
    return f"it classifies only {share:.0%} of the known photos correctly" if share < MIN_CORRECT_SHARE else None
