"""The last layer of a user-supplied graph: the classifier at whose input the graph is cut.

The search walks back from the output through operations that do not mix features, such as softmax and reshape.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph_session import compute_constant
from pipeline.networks.pretrained import CLASS_COUNT, LastLayer

if TYPE_CHECKING:
    import onnx


SHAPING: Final = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operations that reshape their first input; a second one, the shape, may depend on the batch."""
QUANTISING: Final = frozenset({"DequantizeLinear", "QuantizeLinear"})
ACTIVATIONS: Final = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})
ARITHMETIC: Final = frozenset({"Add", "Div", "Mul", "Sub"})
"""Arithmetic with a constant."""

PASSED: Final = SHAPING | QUANTISING | ACTIVATIONS | ARITHMETIC


@dataclass(frozen=True)
class Tail:
    """The end of a graph.

    Attributes:
        layer: last layer with a constant kernel, if one was found.
        added: constants added to its output before an activation; None if the output is changed otherwise, for example
            by a temperature.
        unsquashed: float tensor before the final activation, to cut at if there is no layer.
    """

    layer: "onnx.NodeProto | None"
    added: tuple[str, ...] | None
    unsquashed: str

    @property
    def features(self) -> str:
        """The tensor to cut at."""
        return self.layer.input[0] if self.layer is not None else self.unsquashed


def find_tail(model: "onnx.ModelProto", output: str, varying: set[str]) -> Tail:
    """Walks back from an output to the last layer.

    Args:
        model: the graph.
        output: tensor to start from.
        varying: tensors that depend on the input, as `find_varying` returns them.
    """
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


def read_last_layer(model: "onnx.ModelProto", tail: Tail) -> LastLayer | None:
    """Reads the classifier of ImageNet's 1000 classes, without a background class; None if it is another classifier.

    Raises:
        GraphError: if ONNX Runtime cannot compute its constants.
    """
    if tail.layer is None or tail.added is None:
        return None
    layer = tail.layer
    attributes = {each.name: each for each in layer.attribute}
    kernel = compute_constant(model, layer.input[1]).astype(np.float32)
    if layer.op_type == "Conv":
        kernel = kernel.reshape(kernel.shape[:2]).T
    elif layer.op_type == "Gemm":
        kernel = kernel.T if "transB" in attributes and attributes["transB"].i else kernel
        kernel = kernel * np.float32(attributes["alpha"].f if "alpha" in attributes else 1)
    if kernel.ndim != 2 or kernel.shape[1] not in (CLASS_COUNT, CLASS_COUNT + 1):
        return None
    bias: np.ndarray = np.zeros(kernel.shape[1])
    if len(layer.input) > 2 and layer.input[2]:
        factor = attributes["beta"].f if "beta" in attributes else 1
        bias = bias + factor * compute_constant(model, layer.input[2]).ravel()
    for tensor in tail.added:
        bias = bias + compute_constant(model, tensor).ravel()
    return LastLayer(np.ascontiguousarray(kernel[:, -CLASS_COUNT:]), bias[-CLASS_COUNT:].astype(np.float32))


def _is_layer(node: "onnx.NodeProto", varying_inputs: list[str]) -> bool:
    """Whether a node is a dense layer on a varying input, or an equivalent 1 x 1 convolution without groups."""
    if varying_inputs != [node.input[0]]:
        return False
    if node.op_type != "Conv":
        return node.op_type in ("Gemm", "MatMul") and not any(
            each.name == "transA" and each.i for each in node.attribute
        )
    attributes = {each.name: each for each in node.attribute}
    sides = list(attributes["kernel_shape"].ints) if "kernel_shape" in attributes else []
    return sides == [1, 1] and ("group" not in attributes or attributes["group"].i == 1)
