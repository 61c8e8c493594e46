"""Keras file: a user's `.keras`, cut in Keras at the input of its last dense layer if there is one.

Loading runs no code from the file. Other networks are cut after conversion, like any graph.
"""

import re
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.networks.graph_session import GraphError, brief
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.own.converted import FAILURES, Converted, convert, import_tensorflow, read_shape
from pipeline.networks.own.graph_input import recognise_input
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer

CONVENTIONS: Final = (
    (r"resnet\d+|vgg\d+", CAFFE),
    (r"resnet\d+v2|mobilenet(v2)?_\d.*|inception_.*|xception|nasnet.*", SYMMETRIC),
    (r"densenet\d+", IMAGENET),
)
"""Pixel scalings of Keras Applications, by pattern of the network's name."""

ACTIVATIONS: Final = ("linear", "softmax", "log_softmax", "sigmoid")


def convert_keras_file(file: Path, layer_name: str = "") -> Converted:
    """Opens a `.keras` file, cuts it if Keras can, and converts it.

    The features are the output of the named layer; by default, the input of the last dense layer.

    Raises:
        GraphError: if Keras cannot load it without running its code, or it is not for RGB images.
    """
    import_tensorflow()
    keras = import_keras()
    network = _load(file)
    inputs = getattr(network, "inputs", None) or []
    graph_input = recognise_input([(each.name, each.dtype, read_shape(each.shape)) for each in inputs])
    if graph_input.is_channels_first:
        raise GraphError(
            f"takes channels first (input {graph_input.name}), which TensorFlow cannot run on a CPU: supply it as .onnx"
        )
    scaling = _guess_scaling(network)
    features, name, dense = _find_features(network, layer_name)
    output = network.outputs[0] if features is None else _pool(features, name)
    network = keras.Model(network.inputs[0], output, name=network.name)

    def compute(scaled: np.ndarray) -> np.ndarray:
        batches = [scaled] if graph_input.is_batch_free else np.split(scaled, len(scaled))
        return np.concatenate([np.asarray(network(graph_input.arrange(batch), training=False)) for batch in batches])

    graph = convert(lambda: convert_network(network))
    return Converted(
        graph,
        graph.graph.output[0].name,
        compute,
        graph_input,
        f"Keras {keras.__version__}",
        name if features is not None else "",
        _read_dense(dense) if dense is not None else None,
        scaling,
    )


def _load(file: Path) -> Any:
    if not zipfile.is_zipfile(file):
        raise GraphError("is not a .keras file, or is truncated: save it again")
    keras = import_keras()
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except FAILURES as error:
        raise GraphError(
            f"cannot be loaded by Keras ({brief(error)}): save it again without custom code, or supply it as .onnx"
        ) from error


def _find_features(network: Any, layer_name: str) -> tuple[Any, str, Any]:
    """The tensor to cut at, its description, and the dense layer on it; no tensor if the graph must be cut later."""
    if layer_name:
        names = [layer.name for layer in network.layers]
        if layer_name not in names:
            raise GraphError(
                f"has no layer {layer_name!r}: set DAYLIGHT_FEATURES_TENSOR to one, such as {', '.join(names[-4:])}"
            )
        return network.get_layer(layer_name).output, layer_name, None
    if len(network.outputs) != 1:
        outputs = ", ".join(network.output_names)
        raise GraphError(
            f"has {len(network.outputs)} outputs ({outputs}): set DAYLIGHT_FEATURES_TENSOR to the layer of the features"
        )
    layers = import_keras().layers
    transparent = (layers.Dropout, layers.Flatten, layers.Identity, layers.Reshape, layers.Softmax)

    def is_transparent(layer: Any) -> bool:
        is_activation = isinstance(layer, layers.Activation) and _is_supported_activation(layer)
        return is_activation or isinstance(layer, transparent)

    last = next(layer for layer in reversed(network.layers) if not is_transparent(layer))
    is_classifier = isinstance(last, layers.Dense) and _is_supported_activation(last)
    if is_classifier and (features := _find_input(last)) is not None:
        return features, f"the input of {last.name}", last
    if isinstance(last, (layers.Conv2D, import_keras().Model)) or len(network.outputs[0].shape) == 3:
        return None, "", None
    return network.outputs[0], network.layers[-1].name, None


def _find_input(dense: Any) -> Any:
    """The input `[n, d]` of a layer; None if it has several, or works on every position of a map."""
    try:
        features = dense.input
    except (AttributeError, ValueError):
        return None
    return features if len(features.shape) == 2 else None


def _is_supported_activation(layer: Any) -> bool:
    return layer.activation.__name__ in ACTIVATIONS


def _pool(features: Any, name: str) -> Any:
    """Averages a feature map `[n, height, width, d]`; returns features `[n, d]` unchanged."""
    if len(features.shape) == 4:
        return import_keras().layers.GlobalAveragePooling2D()(features)
    if len(features.shape) != 2:
        shape = ", ".join("n" if side is None else str(side) for side in features.shape)
        raise GraphError(
            f"gives [{shape}] at {name}, which cannot be pooled: set DAYLIGHT_FEATURES_TENSOR to a layer of [n, d]"
        )
    return features


def _read_dense(dense: Any) -> LastLayer | None:
    """The classifier of ImageNet's 1000 classes, without a background class; None if it is another classifier."""
    kernel = np.asarray(dense.kernel, np.float32)
    if kernel.shape[1] not in (CLASS_COUNT, CLASS_COUNT + 1):
        return None
    bias = np.zeros(kernel.shape[1], np.float32) if dense.bias is None else np.asarray(dense.bias, np.float32)
    return LastLayer(np.ascontiguousarray(kernel[:, -CLASS_COUNT:]), bias[-CLASS_COUNT:])


def _guess_scaling(network: Any) -> tuple[PixelScaling, str] | None:
    """The pixel scaling of a network by its first layer, or by the name that Keras Applications gave it."""
    keras = import_keras()
    inner: Any = network
    while isinstance(inner, keras.Model):
        for pattern, scaling in CONVENTIONS:
            if re.fullmatch(pattern, inner.name):
                return scaling, f"as Keras's {inner.name}"
        layers = (layer for layer in inner.layers if not isinstance(layer, keras.layers.InputLayer))
        inner = next(layers, None)
    if isinstance(inner, (keras.layers.Normalization, keras.layers.Rescaling)):
        return RAW, f"its first layer is {inner.name}"
    return None
