"""The first layer: the first convolution of a quantized graph, with its quantization nodes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx

from pipeline.networks.graph_parts import dimensions, read_attributes, read_by, read_initializers

# attributes of a convolution
DEFAULTS: Final = {"auto_pad": b"NOTSET", "dilations": [1, 1], "group": 1, "pads": [0, 0, 0, 0], "strides": [1, 1]}


@dataclass(frozen=True)
class FirstLayer:
    """An integer convolution whose inputs have no other reader and whose output only `quantize` reads."""

    conv: onnx.NodeProto  # between dequantized inputs and a quantized output
    pixels: onnx.NodeProto  # dequantizes its input
    parameters: list[onnx.NodeProto]  # dequantize its weights and, if there is one, its bias
    quantize: onnx.NodeProto  # quantizes its output
    weights: np.ndarray  # int8 [channels, colours, height, width], with zero point 0
    attributes: Mapping[str, Any]  # of the convolution, by name
    input_shape: list[int]  # channels, height, width
    output_shape: list[int]  # channels, height, width


def find_first_layer(model: onnx.ModelProto) -> FirstLayer | None:
    """Finds the first convolution; None if there is none, it has another form, or its size is not fixed."""
    graph = model.graph
    conv = next((node for node in graph.node if node.op_type == "Conv"), None)
    if conv is None:
        return None
    inputs = [node for tensor in conv.input for node in graph.node if tensor in node.output]
    outputs = [node for node in graph.node if conv.output[0] in read_by(node)]
    required = [*["DequantizeLinear"] * len(conv.input), "QuantizeLinear"]
    if [node.op_type for node in (*inputs, *outputs)] != required:
        return None
    readers = Counter(tensor for node in graph.node for tensor in read_by(node))
    if any(readers[tensor] > 1 for tensor in (*conv.input, inputs[0].input[0])):
        return None
    pixels, *parameters = inputs
    constants = read_initializers(graph, (name for node in parameters for name in node.input))
    name, _, *zero_points = parameters[0].input
    input_shape, output_shape = _infer_lengths(model, conv.input[0], conv.output[0])
    if len(input_shape) != 3 or len(output_shape) != 3 or name not in constants:
        return None
    if any(constants[each].any() for each in zero_points):
        return None
    attributes = DEFAULTS | read_attributes(conv)
    return FirstLayer(conv, pixels, parameters, outputs[0], constants[name], attributes, input_shape, output_shape)


def _infer_lengths(model: onnx.ModelProto, *tensors: str) -> list[list[int]]:
    """The fixed lengths of tensors: all but the batch."""
    known = {each.name: each for each in onnx.shape_inference.infer_shapes(model).graph.value_info}
    shapes = [dimensions(known[tensor]) if tensor in known else [] for tensor in tensors]
    return [[length for length in shape if isinstance(length, int)] for shape in shapes]
