"""Keras file: a user's `.keras`, cut at the input of its last dense layer in Keras itself where that can be found.

Loading it runs no code of the file's. Where Keras cannot cut it, the converted graph is cut like any other.
"""

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.own.converted import (
    FRAMEWORK_ERRORS,
    Converted,
    check_conversion,
    quieten_conversion,
    recognise_only_input,
)
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer
from pipeline.networks.subgraph import GraphError, brief

if TYPE_CHECKING:
    import keras

CONVENTIONS: Final = (
    (r"resnet\d+|vgg\d+", CAFFE),
    (r"resnet\d+v2|mobilenet(v2)?_\d.*|inception_.*|xception|nasnet.*", SYMMETRIC),
    (r"densenet\d+", IMAGENET),
)
"""What Keras Applications expect, by the names that they give their networks."""

SQUASHING: Final = ("linear", "softmax", "log_softmax", "sigmoid")


def convert_keras_file(file: Path, layer_name: str = "") -> Converted:
    """Opens a `.keras` file, cuts it where Keras can, and converts the rest.

    Args:
        file: as Keras saves it.
        layer_name: of the layer that gives the features, where it is not the last dense one's input.

    Raises:
        GraphError: where Keras cannot load it without running its code, or it is not for RGB pictures.
    """
    keras = import_keras()
    import onnx

    quieten_conversion()
    network = _load(file)
    inputs = getattr(network, "inputs", None) or []
    taken = recognise_only_input([(each.name, each.dtype, each.shape) for each in inputs])
    if taken.takes_planes:
        raise GraphError(
            f"takes channels first (input {taken.name}), which TensorFlow cannot run on a CPU: give it as .onnx"
        )
    scaling = _guess_scaling(network)
    features, called, dense = _find_features(network, layer_name)
    output = network.outputs[0] if features is None else _pool(features, called)
    network = keras.Model(network.inputs[0], output, name=network.name)

    def compute(scaled: np.ndarray) -> np.ndarray:
        batches = [scaled] if taken.is_batch_free else np.split(scaled, len(scaled))
        return np.concatenate([np.asarray(network(taken.arrange(batch), training=False)) for batch in batches])

    try:
        graph = convert_network(network)
    except (*FRAMEWORK_ERRORS, onnx.checker.ValidationError) as error:
        raise GraphError(f"cannot be converted by tf2onnx ({brief(error)}): give it as .onnx") from error
    return Converted(
        check_conversion(graph),
        graph.graph.output[0].name,
        compute,
        taken,
        f"Keras {keras.__version__}",
        called if features is not None else "",
        _read_dense(dense) if dense is not None else None,
        scaling,
    )


def _load(file: Path) -> Any:
    if not zipfile.is_zipfile(file):
        raise GraphError("is not a .keras file, or a truncated one: save it anew")
    keras = import_keras()
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except FRAMEWORK_ERRORS as error:
        raise GraphError(
            f"cannot be loaded by Keras ({brief(error)}): save it anew without code of its own, or give it as .onnx"
        ) from error


def _find_features(network: "keras.Model", layer_name: str) -> tuple[Any, str, Any]:
    """The tensor to cut at, how it is called, and the dense layer on it; no tensor where the graph must be cut."""
    if layer_name:
        names = [layer.name for layer in network.layers]
        if layer_name not in names:
            raise GraphError(
                f"has no layer {layer_name!r}: let DAYLIGHT_FEATURES_TENSOR name one, such as {', '.join(names[-4:])}"
            )
        return network.get_layer(layer_name).output, layer_name, None
    if len(network.outputs) != 1:
        outputs = ", ".join(network.output_names)
        raise GraphError(
            f"has {len(network.outputs)} outputs ({outputs}): let DAYLIGHT_FEATURES_TENSOR name the features' layer"
        )
    layers = import_keras().layers
    passed = (layers.Dropout, layers.Flatten, layers.Identity, layers.Reshape, layers.Softmax)
    last = next(
        layer
        for layer in reversed(network.layers)
        if not (isinstance(layer, passed) or (isinstance(layer, layers.Activation) and _squashes(layer)))
    )
    if isinstance(last, layers.Dense) and _squashes(last) and (features := _find_input(last)) is not None:
        return features, f"the input of {last.name}", last
    if isinstance(last, (layers.Conv2D, import_keras().Model)):
        return None, "", None
    return network.outputs[0], network.layers[-1].name, None


def _find_input(dense: Any) -> Any:
    """The input `[n, d]` of a layer; None where it has several, or works on every field of a map."""
    try:
        features = dense.input
    except (AttributeError, ValueError):
        return None
    return features if len(features.shape) == 2 else None


def _squashes(layer: Any) -> bool:
    return layer.activation.__name__ in SQUASHING


def _pool(features: Any, called: str) -> Any:
    """The mean over a map of features `[n, height, width, d]`; features `[n, d]` as they are."""
    if len(features.shape) == 4:
        return import_keras().layers.GlobalAveragePooling2D()(features)
    if len(features.shape) != 2:
        shape = ", ".join("n" if side is None else str(side) for side in features.shape)
        raise GraphError(
            f"gives [{shape}] at {called}, which is not pooled: let DAYLIGHT_FEATURES_TENSOR name a layer of [n, d]"
        )
    return features


def _read_dense(dense: Any) -> LastLayer | None:
    """The classifier of ImageNet's 1000 classes, without one for the background; None where it is another."""
    kernel = np.asarray(dense.kernel, np.float32)
    if kernel.shape[1] not in (CLASS_COUNT, CLASS_COUNT + 1):
        return None
    bias = np.zeros(kernel.shape[1], np.float32) if dense.bias is None else np.asarray(dense.bias, np.float32)
    return LastLayer(np.ascontiguousarray(kernel[:, -CLASS_COUNT:]), bias[-CLASS_COUNT:])


def _guess_scaling(network: Any) -> tuple[PixelScaling, str] | None:
    """What a network expects of its pixels by its first layer, or by the name that Keras Applications gave it."""
    keras = import_keras()
    network_within: Any = network
    while isinstance(network_within, keras.Model):
        for pattern, scaling in CONVENTIONS:
            if re.fullmatch(pattern, network_within.name):
                return scaling, f"as Keras's {network_within.name}"
        layers = (layer for layer in network_within.layers if not isinstance(layer, keras.layers.InputLayer))
        network_within = next(layers, None)
    if isinstance(network_within, (keras.layers.Normalization, keras.layers.Rescaling)):
        return RAW, f"its first layer is {network_within.name}"
    return None
