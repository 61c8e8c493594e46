"""Row scaling: an int8 graph scales whole rows of pixels at once, before the transpose to channels first.

`graph.py` transposes first, while pixels are bytes, which suits fp32. In an int8 graph ONNX Runtime removes this
transpose, because integer convolutions take channels last, and would then scale three numbers at a time, which costs
0.8 of the 2.9 ms of EfficientNet-Lite0. Features are bit-identical. This is for channels that are scaled differently;
if all are scaled alike, `quantized_pixels.py` removes the scaling.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph import SCALED
from pipeline.networks.graph_parts import add_initializer, drop_unused, make_reshape, read_initializers

if TYPE_CHECKING:
    import onnx

TRANSPOSED_PREFIX: Final = ("Transpose", "Cast")
"""Operations before the first layer of a channels-first graph, besides Mul and Add."""


def scale_in_rows(model: "onnx.ModelProto", size: int) -> "onnx.ModelProto":
    """Moves the transpose to channels first behind the scaling, with identical results.

    A graph that takes channels last, takes blue first or does not scale is left unchanged: it has no transpose to move,
    or none that ONNX Runtime would remove (unscaled and reordered, Lite0 takes 2.1 ms anyway).

    Args:
        model: graph made by `wrap_graph`; changed in place.
        size: height and width of images, in pixels.
    """
    graph = model.graph
    end = next((position for position, node in enumerate(graph.node) if SCALED in node.output), -1)
    prefix, rest = list(graph.node[: end + 1]), list(graph.node[end + 1 :])
    scaling = [node for node in prefix if node.op_type in ("Mul", "Add")]
    if not scaling or tuple(node.op_type for node in prefix if node not in scaling) != TRANSPOSED_PREFIX:
        return model
    transpose, *steps = prefix
    rows = _scale_rows(graph, steps, transpose.input[0], size)
    back = make_reshape(graph, rows[-1].output[0], "scaled_pictures", [0, size, size, 3])
    transpose.input[0], transpose.output[0] = back.output[0], SCALED
    del graph.node[:]
    graph.node.extend([*rows, back, transpose, *rest])
    drop_unused(graph, {name for node in scaling for name in node.input})
    return model


def _scale_rows(
    graph: "onnx.GraphProto", steps: "list[onnx.NodeProto]", pixels: str, size: int
) -> "list[onnx.NodeProto]":
    """The scaling of rows of `3 * size` numbers, with every constant repeated for each pixel of a row."""
    from onnx import helper

    constants = read_initializers(graph, {name for step in steps for name in step.input})
    nodes = [make_reshape(graph, pixels, "pixel_rows", [0, size, 3 * size])]
    for step in steps:
        inputs = [nodes[-1].output[0]]
        for name in constants.keys() & set(step.input):
            row = np.tile(np.broadcast_to(constants[name].ravel(), 3), size)
            inputs.append(add_initializer(graph, f"{step.output[0]}_row", row))
        nodes.append(helper.make_node(step.op_type, inputs, [f"{step.output[0]}_in_rows"], step.name))
        nodes[-1].attribute.extend(step.attribute)
    return nodes
