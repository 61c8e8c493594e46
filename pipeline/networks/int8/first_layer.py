"""The first layer: the first convolution of a quantized graph, with what quantization put around it.

What is done with it is `pixel_cells.py`. onnx is imported where it is used: executors import `pipeline` too, and do not
need it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.networks.graph import dimensions
from pipeline.networks.int8.initializers import read_initializers
from pipeline.networks.subgraph import read_by

if TYPE_CHECKING:
    import onnx

DEFAULTS: Final[Mapping[str, Any]] = {
    "auto_pad": b"NOTSET",
    "dilations": [1, 1],
    "group": 1,
    "pads": [0, 0, 0, 0],
    "strides": [1, 1],
}
"""What a convolution does where it does not say otherwise."""


@dataclass(frozen=True)
class FirstLayer:
    """A convolution of integers; nothing else reads what it reads, and nothing but `quantize` what it gives.

    Attributes:
        conv: between dequantized inputs and an output that is quantized.
        pixels: dequantizes what it convolves.
        parameters: dequantize its weights and, if there is one, its bias.
        quantize: quantizes what it gives.
        weights: int8 `[channels, colours, height, width]`, in which zero stands for zero.
        attributes: of the convolution, by name.
        taken: channels, height and width of what it convolves.
        given: channels, height and width of what it gives.
    """

    conv: "onnx.NodeProto"
    pixels: "onnx.NodeProto"
    parameters: "list[onnx.NodeProto]"
    quantize: "onnx.NodeProto"
    weights: np.ndarray
    attributes: Mapping[str, Any]
    taken: list[int]
    given: list[int]


def find_first_layer(model: "onnx.ModelProto") -> FirstLayer | None:
    """Finds the first convolution; None where there is none, or it is not as described above, or of no fixed size."""
    from onnx import helper

    graph = model.graph
    conv = next((node for node in graph.node if node.op_type == "Conv"), None)
    if conv is None:
        return None
    inputs = [node for tensor in conv.input for node in graph.node if tensor in node.output]
    outputs = [node for node in graph.node if conv.output[0] in read_by(node)]
    wanted = [*["DequantizeLinear"] * len(conv.input), "QuantizeLinear"]
    if [node.op_type for node in (*inputs, *outputs)] != wanted:
        return None
    readers = Counter(tensor for node in graph.node for tensor in read_by(node))
    if any(readers[tensor] > 1 for tensor in (*conv.input, inputs[0].input[0])):
        return None
    pixels, *parameters = inputs
    constants = read_initializers(graph, (name for node in parameters for name in node.input))
    name, _, *zero_points = parameters[0].input
    taken, given = _infer_lengths(model, conv.input[0], conv.output[0])
    if (
        len(taken) != 3
        or len(given) != 3
        or name not in constants
        or any(constants[each].any() for each in zero_points)
    ):
        return None
    attributes = {**DEFAULTS, **{each.name: helper.get_attribute_value(each) for each in conv.attribute}}
    return FirstLayer(conv, pixels, parameters, outputs[0], constants[name], attributes, taken, given)


def _infer_lengths(model: "onnx.ModelProto", *tensors: str) -> list[list[int]]:
    """The fixed lengths of some tensors, which are all but the number of pictures."""
    from onnx import shape_inference

    known = {each.name: each for each in shape_inference.infer_shapes(model).graph.value_info}
    shapes = [dimensions(known[tensor]) if tensor in known else [] for tensor in tensors]
    return [[length for length in shape if isinstance(length, int)] for shape in shapes]
