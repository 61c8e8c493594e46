"""Catalogue entries: the interface of a named backbone. A new framework is one module with a subclass."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.networks.pixel_scaling import PixelScaling
from pipeline.networks.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Entry(ABC):
    """A backbone of the catalogue."""

    name: str  # value of DAYLIGHT_BACKBONE
    size: int  # height and width of input images, in pixels
    dimension: int  # length of the feature vector
    scaling: PixelScaling
    licence: str  # of the weights
    origin: str  # authors and training data

    @property
    @abstractmethod
    def default_weights(self) -> str:
        """Identity of the weights used without a file: their SHA-256, or a constant if only a download shows it."""

    @abstractmethod
    def load(self, weights: Path | None = None) -> Pretrained:
        """Builds the network with its own weights, or those of a user's file.

        Raises:
            PretrainedError: if the weights are unavailable or do not fit.
        """

    def describe_provenance(self, weights: str, weights_sha256: str) -> dict[str, str]:
        """The metadata that an exported graph stores."""
        return {
            "origin": self.origin,
            "licence": self.licence,
            "weights": weights,
            "weights_sha256": weights_sha256,
            "scaling": self.scaling.name,
            "keras": version("keras"),
            "tf2onnx": version("tf2onnx"),
        }
