"""Keras Applications as catalogue entries: networks without their top, pooled, with ImageNet's weights.

Keras downloads the weights, or reads a user's file; weights run no code.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.networks.catalogue.entry import Entry
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer, Pretrained, PretrainedError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class KerasApplication(Entry):
    """A network of Keras Applications."""

    function: str  # of `keras.applications` that builds it, such as ResNet50
    module: str  # with its `preprocess_input`, such as resnet50

    @property
    def default_weights(self) -> str:
        """A constant: the digest is known only after the download."""
        return "downloaded"

    def load(self, weights: Path | None = None) -> Pretrained:
        """Builds the network; a file of weights is in a Keras format, with or without the top."""
        if weights is None:
            network, last_layer, source = self._download(), None, "ImageNet, downloaded by Keras"
            digest = hashlib.sha256(b"".join(tensor.tobytes() for tensor in network.get_weights()))
        else:
            (network, last_layer), source = self.read_weights(weights), weights.name
            digest = hashlib.sha256(weights.read_bytes())
        return Pretrained(
            name=self.name,
            size=self.size,
            scaling=self.scaling,
            embed=lambda pixels: np.asarray(network(self.preprocess(pixels), training=False)),
            convert=lambda: convert_network(network),
            last_layer=last_layer,
            provenance=self.describe_provenance(source, digest.hexdigest()),
        )

    def build(self, include_top: bool = False, weights: str | None = None) -> "keras.Model":
        """Builds the network, with random weights by default; without its top its output is pooled."""
        build = getattr(import_keras().applications, self.function)
        rest: dict[str, Any] = {"classifier_activation": None} if include_top else {"pooling": "avg"}
        return build(include_top=include_top, weights=weights, input_shape=(self.size, self.size, 3), **rest)

    def preprocess(self, pixels: np.ndarray) -> np.ndarray:
        """Scales uint8 RGB `[n, size, size, 3]` with Keras's own function for this network."""
        module = getattr(import_keras().applications, self.module)
        return np.asarray(module.preprocess_input(pixels.astype(np.float32)))

    def read_weights(self, file: Path) -> tuple["keras.Model", LastLayer | None]:
        """Builds the network with the weights of a file, and its classifier if the file has a suitable top.

        Raises:
            PretrainedError: if the file holds no weights of this network.
        """
        network = self.build()
        reasons = []
        for include_top in (True, False):  # a new-format file with a top would load without it, and lose the top
            whole = self.build(include_top=True) if include_top else network
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # repeats the error if the file is of another network
                    whole.load_weights(file)
            except (KeyError, OSError, TypeError, ValueError) as error:
                reasons.append(" ".join(str(error).split())[:160])
                continue
            return network, _copy_weights(network, whole) if include_top else None
        raise PretrainedError(
            f"{file} does not hold weights of Keras's {self.function}, with or without its top ({reasons[-1]}):"
            " set DAYLIGHT_WEIGHTS to a .weights.h5 or .h5 file of that network"
        )

    def _download(self) -> "keras.Model":
        try:
            return self.build(weights="imagenet")
        except Exception as error:  # Keras raises nothing narrower if a download fails
            if "URL fetch failure" not in str(error):
                raise
            raise PretrainedError(
                f"Keras could not download the weights of {self.function} ({error}): connect this machine to the"
                " internet, or set DAYLIGHT_WEIGHTS to a file of them"
            ) from error


def _copy_weights(network: "keras.Model", whole: "keras.Model") -> LastLayer | None:
    """Copies weights from the network with its top; returns the top if it is one dense layer on the features."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    shared = {layer.name for layer in network.layers}
    top = [layer.name for layer in whole.layers if layer.weights and layer.name not in shared]
    tensors = whole.get_layer(top[-1]).get_weights()
    is_dense_on_features = len(top) == 1 and tensors[0].shape == (network.output.shape[-1], CLASS_COUNT)
    return LastLayer(*tensors) if is_dense_on_features else None
