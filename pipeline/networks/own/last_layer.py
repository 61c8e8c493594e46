"""The last layer of a stranger's graph: the classifier in front of which it is cut, found by walking back.

What stands between it and the output, a softmax or a reshape, neither mixes nor adds features, and is passed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.pretrained import CLASS_COUNT, LastLayer
from pipeline.networks.subgraph import compute_constant

if TYPE_CHECKING:
    import onnx


SHAPING: Final = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Of their first input; a shape beside it may be computed from the batch, as Flatten often is."""
QUANTISING: Final = frozenset({"DequantizeLinear", "QuantizeLinear"})
SQUASHING: Final = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})
ARITHMETIC: Final = frozenset({"Add", "Div", "Mul", "Sub"})
"""With a constant."""

PASSED: Final = SHAPING | QUANTISING | SQUASHING | ARITHMETIC


@dataclass(frozen=True)
class Tail:
    """The end of a graph.

    Attributes:
        layer: the last one with a constant kernel, where the walk came upon one.
        added: the constants that are added to its output, before anything is squashed; None where it is changed
            otherwise, by a temperature for instance.
        unsquashed: the tensor nearest to the output that is float and unsquashed: what to cut at without a layer.
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
        output: the tensor to begin at.
        varying: the tensors that depend on the input, as `find_varying` gives them.
    """
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    tensor, unsquashed = output, output
    added: tuple[str, ...] | None = ()
    while (node := producers.get(tensor)) is not None:
        read = node.input[:1] if node.op_type in SHAPING else node.input
        moving = [each for each in read if each in varying]
        if _is_layer(node, moving):
            return Tail(node, added, unsquashed)
        if len(moving) != 1 or node.op_type not in PASSED:
            break
        if node.op_type in SQUASHING or node.op_type == "QuantizeLinear":
            unsquashed = moving[0]
        if node.op_type in SQUASHING:
            added = ()
        elif node.op_type == "Add" and added is not None:
            added = (*added, next(each for each in node.input if each not in varying))
        elif node.op_type in ARITHMETIC:
            added = None
        tensor = moving[0]
    return Tail(None, None, unsquashed)


def read_last_layer(model: "onnx.ModelProto", tail: Tail) -> LastLayer | None:
    """Reads the classifier of ImageNet's 1000 classes, without a class for the background; None where it is another.

    Raises:
        GraphError: where ONNX Runtime cannot compute its constants.
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


def _is_layer(node: "onnx.NodeProto", moving: list[str]) -> bool:
    """Whether a node is a dense layer on a varying input, or a convolution that may be one: of 1 by 1, ungrouped."""
    if moving != [node.input[0]]:
        return False
    if node.op_type != "Conv":
        return node.op_type in ("Gemm", "MatMul") and not any(
            each.name == "transA" and each.i for each in node.attribute
        )
    attributes = {each.name: each for each in node.attribute}
    sides = list(attributes["kernel_shape"].ints) if "kernel_shape" in attributes else []
    return sides == [1, 1] and ("group" not in attributes or attributes["group"].i == 1)
