"""Keras and its conversion to ONNX, imported late and silently: TensorFlow takes ten seconds to import."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

if TYPE_CHECKING:
    import keras

OPSET: Final = 17  # from 18 on, tf2onnx leaves a second Transpose before global average pooling
QUIET: Final = {
    "KERAS_BACKEND": "tensorflow",  # the only one that tf2onnx reads; overrides the user's keras.json
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def import_keras() -> Any:
    """Imports Keras on TensorFlow without log lines; only the first import can be silenced."""
    os.environ.update(QUIET)
    import keras

    return keras


def convert_network(network: "keras.Model") -> onnx.ModelProto:
    """Converts a Keras network with one input and one output; the graph takes `[n, 3, height, width]`.

    Raises:
        onnx.checker.ValidationError: if tf2onnx cannot convert an operation, which it only logs.
    """
    import_keras()
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    network = without_grouped_convolutions(network)
    (pixels,) = network.inputs
    with collecting_eagerly():
        model: onnx.ModelProto = tf2onnx.convert.from_keras(
            network,
            [tf.TensorSpec(pixels.shape, pixels.dtype, name="pixels")],
            opset=OPSET,
            custom_op_handlers={"Erfc": (convert_erfc, [])},
            custom_rewriter=[give_scalars_an_axis],
            inputs_as_nchw=["pixels"],
        )[0]
    onnx.checker.check_model(model, full_check=True)
    return model


def without_grouped_convolutions(network: "keras.Model") -> "keras.Model":
    """Replaces convolutions with a group for every channel by depthwise ones, which compute the same.

    Keras compiles grouped ones with XLA, and tf2onnx cannot convert that (tensorflow-onnx issues 2099 and 2347).
    Returns the network itself if it has none, as all but ConvNeXt.
    """
    keras = import_keras()

    def is_depthwise(layer: Any) -> bool:
        return isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.filters == layer.kernel.shape[3]

    if not any(map(is_depthwise, network.layers)):
        return network

    def replace(layer: Any) -> Any:
        if not is_depthwise(layer):
            return layer.__class__.from_config(layer.get_config())
        kept = ("name", "kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")
        return keras.layers.DepthwiseConv2D(**{name: layer.get_config()[name] for name in kept})

    clone = keras.models.clone_model(network, clone_function=replace)
    for layer, other in zip(network.layers, clone.layers, strict=True):
        weights = layer.get_weights()
        other.set_weights([weights[0].transpose(0, 1, 3, 2), *weights[1:]] if is_depthwise(layer) else weights)
    return clone


def convert_erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Converts TensorFlow's Erfc, of the exact GELU, to 1 - Erf, because tf2onnx and ONNX lack it."""
    node.type = "Erf"
    one = context.make_const(f"{name}/one", np.array(1, np.float32))
    readers = context.find_output_consumers(node.output[0])
    complement = context.make_node("Sub", [one.output[0], node.output[0]], name=f"{name}/complement")
    context.replace_all_inputs(node.output[0], complement.output[0], ops=readers)


@contextmanager
def collecting_eagerly() -> Iterator[None]:
    """Collects garbage eagerly, because tf2onnx discards a copy of the graph and its weights at every step.

    Without this, ResNet50 peaked at 8.2 GB in 18 CPU-seconds; with it, at 3.0 GB in 8.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(1000, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def give_scalars_an_axis(graph: Any, nodes: Any) -> Any:
    """Turns every added scalar into a vector, because tf2onnx 1.17 gives up on all Transposes at a scalar.

    MobileNetV3's hard sigmoid adds 3 after a convolution, which would leave 125 Transposes.
    """
    for node in nodes:
        if node.type in ("Add", "AddV2"):
            for position, other in enumerate(node.inputs):
                if other.is_const() and other.get_tensor_value(as_list=False).ndim == 0:
                    vector = other.get_tensor_value(as_list=False).reshape(1)
                    constant = graph.make_const(f"{node.name}/vector_{position}", vector)
                    graph.replace_input(node, node.input[position], constant.output[0], position)
    return graph.get_nodes()
