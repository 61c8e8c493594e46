"""Row scaling: an int8 graph scales whole rows of pixels at once, before the transpose to channels first.

In an int8 graph ONNX Runtime removes the transpose of `graph.py`, because integer convolutions take channels last, and
would then scale three numbers at a time, which costs 0.8 of the 2.9 ms of EfficientNet-Lite0. This is for channels that
are scaled differently; if all are scaled alike, `quantized_pixels.py` removes the scaling.
"""

from typing import Final

import numpy as np
import onnx
from onnx import helper

from pipeline.networks.graph import SCALED
from pipeline.networks.graph_parts import add_initializer, drop_unused, make_reshape, read_initializers

TRANSPOSED_PREFIX: Final = ["Transpose", "Cast"]
"""Operations before the first layer of a channels-first graph, besides Mul and Add."""


def scale_in_rows(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Moves the transpose of a graph of `wrap_graph` behind the scaling, in place and with bit-identical results.

    A graph that takes channels last, takes blue first or does not scale is left unchanged: it has no transpose to move,
    or none that ONNX Runtime would remove (unscaled and reordered, Lite0 takes 2.1 ms anyway).
    """
    graph = model.graph
    end = next((position for position, node in enumerate(graph.node) if SCALED in node.output), -1)
    prefix, rest = list(graph.node[: end + 1]), list(graph.node[end + 1 :])
    scaling = [node for node in prefix if node.op_type in ("Mul", "Add")]
    if not scaling or [node.op_type for node in prefix if node not in scaling] != TRANSPOSED_PREFIX:
        return model
    transpose, *steps = prefix
    constants = read_initializers(graph, {name for step in steps for name in step.input})
    rows = [make_reshape(graph, transpose.input[0], "pixel_rows", [0, size, 3 * size])]
    for step in steps:
        inputs = [rows[-1].output[0]]
        for name in constants.keys() & set(step.input):
            row = np.tile(np.broadcast_to(constants[name].ravel(), 3), size)  # repeated for each pixel
            inputs.append(add_initializer(graph, f"{step.output[0]}_row", row))
        rows.append(helper.make_node(step.op_type, inputs, [f"{step.output[0]}_in_rows"], step.name))
        rows[-1].attribute.extend(step.attribute)
    back = make_reshape(graph, rows[-1].output[0], "scaled_pictures", [0, size, size, 3])
    transpose.input[0], transpose.output[0] = back.output[0], SCALED
    del graph.node[:]
    graph.node.extend([*rows, back, transpose, *rest])
    drop_unused(graph, {name for node in scaling for name in node.input})
    return model
