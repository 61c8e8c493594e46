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


@dataclass(frozen=True)
class Examination:
    """What a graph gives for the known photos.

    Attributes:
        parity: difference from its network.
        is_correct: whether ImageNet's classifier names each photo correctly from its features, by name of the photo;
            None if the weights came without that classifier.
    """

    parity: Parity
    is_correct: Mapping[str, bool] | None

    @property
    def right_share(self) -> float | None:
        """Share of the photos that are named correctly, 0 to 1; None without ImageNet's classifier."""
        return sum(self.is_correct.values()) / len(self.is_correct) if self.is_correct else None

    def explain_failure(self, precision: str) -> str | None:
        """Describes why a graph of this precision fails; None if it passes.

        An int8 graph may fail if its calibration images are unlike photos: its activation ranges do not suit them.
        """
        if not self.parity.is_within(precision):
            return (
                "its features of the known photos differ from those of the network (cosine"
                f" {self.parity.smallest_cosine:.3f}, minimum {MIN_COSINE[precision]}; difference"
                f" {self.parity.scaled_difference:.3f} of their scale)"
            )
        if self.right_share is not None and self.right_share < MIN_CORRECT_SHARE:
            return f"it classifies only {self.right_share:.0%} of the known photos correctly"
        return None


def examine(backbone: Backbone, pretrained: Pretrained) -> Examination:
    """Compares a graph with the network that it was exported from, on the known photos."""
    last_layer = pretrained.last_layer
    return Examination(
        measure_parity(pretrained.embed, backbone, decode_known_photos(backbone.size)),
        classify_known_photos(backbone, last_layer) if last_layer else None,
    )
