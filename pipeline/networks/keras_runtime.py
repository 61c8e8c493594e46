"""Keras and its conversion to ONNX, imported late and silently: TensorFlow takes ten seconds to import."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

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
    (pixels,) = network.inputs
    with collecting_eagerly():
        model: onnx.ModelProto = tf2onnx.convert.from_keras(
            network,
            [tf.TensorSpec(pixels.shape, pixels.dtype, name="pixels")],
            opset=OPSET,
            custom_rewriter=[give_scalars_an_axis],
            inputs_as_nchw=["pixels"],
        )[0]
    onnx.checker.check_model(model, full_check=True)
    return model


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
