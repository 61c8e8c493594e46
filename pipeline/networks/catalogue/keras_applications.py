"""Keras Applications: the networks of the original and their kin, without their top, pooled, with real weights.

Keras downloads the weights to the user's machine, or a file of the user's is read; weights run no code.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.networks.keras_runtime import import_keras
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer, PretrainedError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Application:
    """A network of Keras Applications.

    Attributes:
        function: that builds it, such as `ResNet50`.
        module: that it lives in, with its `preprocess_input`, such as `resnet50`.
    """

    function: str
    module: str


@dataclass(frozen=True)
class LoadedApplication:
    """A network with its weights.

    Attributes:
        network: from scaled pixels, float32 `[n, size, size, 3]`, to features `[n, d]`.
        last_layer: ImageNet's classifier, where the weights came with one that stands on these features.
        weights: where they came from.
        weights_sha256: of the file, or of the downloaded tensors in Keras's order.
    """

    network: "keras.Model"
    last_layer: LastLayer | None
    weights: str
    weights_sha256: str


def build_application(application: Application, size: int, include_top: bool = False) -> "keras.Model":
    """Builds the network with random weights; without its top it gives the mean over the picture."""
    return _build(application, size, include_top, None)


def load_application(application: Application, size: int, weights: Path | None) -> LoadedApplication:
    """Builds the network and gives it ImageNet's weights.

    Args:
        application: which one.
        size: side of the square pictures, in pixels.
        weights: a file in one of Keras's formats, with or without the top; None lets Keras download them.

    Raises:
        PretrainedError: where the weights cannot be downloaded, or the file is not of this network.
    """
    if weights is None:
        network = _download(application, size)
        tensors = hashlib.sha256(b"".join(tensor.tobytes() for tensor in network.get_weights()))
        return LoadedApplication(network, None, "ImageNet, downloaded by Keras", tensors.hexdigest())
    network, last_layer = _read(application, size, weights)
    return LoadedApplication(network, last_layer, weights.name, hashlib.sha256(weights.read_bytes()).hexdigest())


def preprocess(application: Application, pixels: np.ndarray) -> np.ndarray:
    """Scales uint8 RGB `[n, size, size, 3]` by Keras's own function for this network."""
    scaled: np.ndarray = _module(application).preprocess_input(pixels.astype(np.float32))
    return scaled


def _build(application: Application, size: int, include_top: bool, weights: str | None) -> "keras.Model":
    build = getattr(import_keras().applications, application.function)
    rest: dict[str, Any] = {"classifier_activation": None} if include_top else {"pooling": "avg"}
    return build(include_top=include_top, weights=weights, input_shape=(size, size, 3), **rest)


def _download(application: Application, size: int) -> "keras.Model":
    try:
        return _build(application, size, include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises nothing narrower where it cannot download
        if "URL fetch failure" not in str(error):
            raise
        raise PretrainedError(
            f"Keras could not download the weights of {application.function} ({error}): connect this machine,"
            " or let DAYLIGHT_WEIGHTS name a file of them"
        ) from error


def _read(application: Application, size: int, file: Path) -> tuple["keras.Model", LastLayer | None]:
    network = build_application(application, size)
    reasons = []
    for include_top in (True, False):  # a new-format file with a top would fit without it, and the top be lost
        whole = build_application(application, size, include_top=True) if include_top else network
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what an error says too, where the file is of another network
                whole.load_weights(file)
        except (KeyError, OSError, TypeError, ValueError) as error:
            reasons.append(" ".join(str(error).split())[:160])
            continue
        return network, _take_over(network, whole) if include_top else None
    raise PretrainedError(
        f"{file} does not hold weights of Keras's {application.function}, with or without its top ({reasons[-1]}):"
        " let DAYLIGHT_WEIGHTS name a .weights.h5 or .h5 file of that network"
    )


def _take_over(network: "keras.Model", whole: "keras.Model") -> LastLayer | None:
    """Gives a network the weights of the same one with its top, and returns the top where it is one dense layer."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    shared = {layer.name for layer in network.layers}
    top = [layer.name for layer in whole.layers if layer.weights and layer.name not in shared]
    tensors = whole.get_layer(top[-1]).get_weights()
    is_dense_on_features = len(top) == 1 and tensors[0].shape == (network.output.shape[-1], CLASS_COUNT)
    return LastLayer(*tensors) if is_dense_on_features else None


def _module(application: Application) -> Any:
    return getattr(import_keras().applications, application.module)
