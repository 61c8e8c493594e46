"""Small convolutional graphs to quantize."""

import numpy as np
import onnx
from conftest import SIZE
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 64


def make_convolutions(kernel: int = 3, pads: tuple[int, ...] = (0, 0, 0, 0), has_bias: bool = False) -> onnx.ModelProto:
    """Two random convolutions, the first with a separate normalisation, and global average pooling.

    The arguments are the kernel size, padding and bias of the first one.
    """
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(0, 0.9 / kernel, (CHANNELS, 3, kernel, kernel)),
        "factor": random.uniform(0.5, 2, (CHANNELS, 1, 1)),
        "second": random.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3)),
    }
    if has_bias:
        weights["bias"] = random.normal(0, 0.5, CHANNELS)
    first = ["planes", "first", *(["bias"] if has_bias else [])]
    nodes = [
        helper.make_node("Conv", first, ["a"], kernel_shape=[kernel, kernel], strides=[2, 2], pads=pads),
        helper.make_node("Mul", ["a", "factor"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "second"], ["d"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("g", TensorProto.FLOAT, ["n", CHANNELS])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_channels_last() -> onnx.ModelProto:
    """Makes the same network with channels last, `[n, size, size, 3]`, as TensorFlow does."""
    model = make_convolutions()
    model.graph.node.insert(0, helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]))
    shape = ["n", SIZE, SIZE, 3]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    return model
