"""The last layer of a user-supplied graph: the classifier at whose input the graph is cut.

The search walks back from the output through operations that do not mix features, such as softmax and reshape.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx

from pipeline.networks.graph_parts import read_attributes
from pipeline.networks.graph_session import compute_constant
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer

SHAPING: Final = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operations that reshape their first input; a second one, the shape, may depend on the batch."""
QUANTISING: Final = frozenset({"DequantizeLinear", "QuantizeLinear"})
ACTIVATIONS: Final = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})
ARITHMETIC: Final = frozenset({"Add", "Div", "Mul", "Sub"})  # with a constant
PASSED: Final = SHAPING | QUANTISING | ACTIVATIONS | ARITHMETIC


@dataclass(frozen=True)
class Tail:
    """The end of a graph."""

    layer: onnx.NodeProto | None  # last layer with a constant kernel, if one was found
    added: tuple[str, ...] | None  # constants added to its output; None if, say, a temperature changes it too
    unsquashed: str  # float tensor before the final activation, to cut at if there is no layer

    @property
    def features(self) -> str:
        """The tensor to cut at."""
        return self.layer.input[0] if self.layer is not None else self.unsquashed


def find_tail(model: onnx.ModelProto, output: str, varying: set[str]) -> Tail:
    """Walks back from an output to the last layer; `varying` is the result of `find_varying`."""
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    tensor, unsquashed = output, output
    added: tuple[str, ...] | None = ()
    while (node := producers.get(tensor)) is not None:
        read = node.input[:1] if node.op_type in SHAPING else node.input
        varying_inputs = [each for each in read if each in varying]
        if _is_layer(node, varying_inputs):
            return Tail(node, added, unsquashed)
        if len(varying_inputs) != 1 or node.op_type not in PASSED:
            break
        if node.op_type in ACTIVATIONS or node.op_type == "QuantizeLinear":
            unsquashed = varying_inputs[0]
        if node.op_type in ACTIVATIONS:
            added = ()
        elif node.op_type == "Add" and added is not None:
            added = (*added, next(each for each in node.input if each not in varying))
        elif node.op_type in ARITHMETIC:
            added = None
        tensor = varying_inputs[0]
    return Tail(None, None, unsquashed)


def read_last_layer(model: onnx.ModelProto, tail: Tail) -> LastLayer | None:
    """Reads the classifier of ImageNet's 1000 classes, without a background class; None if it is another classifier.

    Raises:
        GraphError: if ONNX Runtime cannot compute its constants.
    """
    if tail.layer is None or tail.added is None:
        return None
    layer = tail.layer
    attributes = read_attributes(layer)
    kernel = compute_constant(model, layer.input[1]).astype(np.float32)
    if layer.op_type == "Conv":
        kernel = kernel.reshape(kernel.shape[:2]).T
    elif layer.op_type == "Gemm":
        kernel = (kernel.T if attributes.get("transB") else kernel) * np.float32(attributes.get("alpha", 1))
    if kernel.ndim != 2 or kernel.shape[1] not in (CLASS_COUNT, CLASS_COUNT + 1):
        return None
    bias: np.ndarray = np.zeros(kernel.shape[1])
    if len(layer.input) > 2 and layer.input[2]:
        bias = bias + attributes.get("beta", 1) * compute_constant(model, layer.input[2]).ravel()
    for tensor in tail.added:
        bias = bias + compute_constant(model, tensor).ravel()
    return LastLayer(np.ascontiguousarray(kernel[:, -CLASS_COUNT:]), bias[-CLASS_COUNT:].astype(np.float32))


def _is_layer(node: onnx.NodeProto, varying_inputs: list[str]) -> bool:
    """Whether a node is a dense layer on a varying input, or an equivalent 1 x 1 convolution without groups."""
    if varying_inputs != [node.input[0]]:
        return False
    attributes = read_attributes(node)
    if node.op_type == "Conv":
        return attributes.get("kernel_shape") == [1, 1] and attributes.get("group", 1) == 1
    return node.op_type in ("Gemm", "MatMul") and not attributes.get("transA")
