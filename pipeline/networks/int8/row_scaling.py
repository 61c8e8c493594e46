"""Row scaling: lets a graph scale its pixels by whole rows of a picture, before they are turned into planes.

`graph.py` turns them first, while a pixel is a byte, which suits fp32. The integer convolutions want channels last, so
that ONNX Runtime takes the turn out of an int8 graph, and would then scale three numbers at a time: 0.8 of the 2.9
milliseconds that EfficientNet-Lite0 takes, with the same features to the last bit. For channels that are scaled apart;
where all are scaled alike, `quantized_pixels.py` spares the scaling. onnx is imported where it is used: executors
import `pipeline` too, and do not need it.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph import SCALED
from pipeline.networks.int8.initializers import add_initializer, drop_unused, make_reshape, read_initializers

if TYPE_CHECKING:
    import onnx

TURNED_FRONT: Final = ("Transpose", "Cast")
"""What stands before the scaling of a graph that takes planes; Mul and Add follow, or stand between."""


def scale_in_rows(model: "onnx.ModelProto", size: int) -> "onnx.ModelProto":
    """Moves the turn into planes behind the scaling, which gives the very same numbers.

    A graph that takes channels last, takes blue first or does not scale stays as it is: there is no turn to move, or
    none that ONNX Runtime takes out (without scaling and with the channels' order changed, Lite0 takes 2.1 anyway).

    Args:
        model: made by `wrap_graph`; changed in place.
        size: side of its pictures, in pixels.
    """
    graph = model.graph
    end = next((place for place, node in enumerate(graph.node) if SCALED in node.output), -1)
    front, rest = list(graph.node[: end + 1]), list(graph.node[end + 1 :])
    scaling = [node for node in front if node.op_type in ("Mul", "Add")]
    if not scaling or tuple(node.op_type for node in front if node not in scaling) != TURNED_FRONT:
        return model
    turn, *steps = front
    rows = _in_rows(graph, steps, turn.input[0], size)
    back = make_reshape(graph, rows[-1].output[0], "scaled_pictures", [0, size, size, 3])
    turn.input[0], turn.output[0] = back.output[0], SCALED
    del graph.node[:]
    graph.node.extend([*rows, back, turn, *rest])
    drop_unused(graph, {name for node in scaling for name in node.input})
    return model


def _in_rows(graph: "onnx.GraphProto", steps: "list[onnx.NodeProto]", pixels: str, size: int) -> "list[onnx.NodeProto]":
    """The steps on rows of `3 * size` numbers, each constant repeated for every pixel of a row."""
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
