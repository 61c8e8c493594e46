"""Keras and its conversion to ONNX, imported late and quietly.

Executors import `pipeline` too, and TensorFlow would take them ten seconds.
"""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import keras
    import onnx

OPSET: Final = 17
"""From 18 on, tf2onnx leaves a second Transpose before the mean over the picture."""

QUIET: Final = {
    "KERAS_BACKEND": "tensorflow",  # the one that tf2onnx reads, whatever the user's own keras.json says
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def import_keras() -> Any:
    """Imports Keras on TensorFlow without the lines that TensorFlow prints; only its first import can be quietened."""
    os.environ.update(QUIET)
    import keras

    return keras


def convert_network(network: "keras.Model") -> "onnx.ModelProto":
    """Converts a Keras network with one input and one output; its graph takes planes, `[n, 3, height, width]`.

    Raises:
        onnx.checker.ValidationError: where tf2onnx cannot convert one of its operations, which it only logs.
    """
    import_keras()
    import onnx
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
    """Lets Python free at once what tf2onnx throws away: a copy of the graph and its weights before every step.

    ResNet50 peaked at 8.2 GB in 18 CPU-seconds without this, and at 3.0 GB in 8 with it.
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
    """Makes a vector of one of every number that is added: tf2onnx 1.17 gives up on all Transposes at a bare one.

    MobileNetV3's hard sigmoid adds 3 behind a convolution, and 125 Transposes stay.
    """
    for node in nodes:
        if node.type in ("Add", "AddV2"):
            for position, other in enumerate(node.inputs):
                if other.is_const() and other.get_tensor_value(as_list=False).ndim == 0:
                    vector = other.get_tensor_value(as_list=False).reshape(1)
                    constant = graph.make_const(f"{node.name}/vector_{position}", vector)
                    graph.replace_input(node, node.input[position], constant.output[0], position)
    return graph.get_nodes()
