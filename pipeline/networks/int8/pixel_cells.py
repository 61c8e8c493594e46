"""Pixel cells: gives the first convolution of an int8 graph four neighbouring pixels as one of twelve channels.

ONNX Runtime's integer convolution copies the channels of one pixel at a time, which is slow where these are three
bytes. A cell of four pixels lies in memory as the pixels do; the convolution gives two neighbours at a time, as one of
twice the channels. Of integers, they are the same to the bit. The first layer of EfficientNet-Lite0 takes 0.20
milliseconds in place of 0.49, that of ResNet50, of seven pixels, 0.83 in place of 1.39. onnx is imported where it is
used: executors import `pipeline` too, and do not need it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.int8.first_layer import FirstLayer, find_first_layer
from pipeline.networks.int8.initializers import add_initializer, drop_unused, make_reshape, read_initializers

if TYPE_CHECKING:
    import onnx

CELL: Final = 4
"""Pixels in a row that are read as one."""

STRIDE: Final = 2
"""Every second pixel is convolved, as in most networks that begin with a convolution."""

TOGETHER: Final = CELL // STRIDE
"""Outputs in a row that are given as one."""

MADE_FOR: Final = {"auto_pad": b"NOTSET", "dilations": [1, 1], "group": 1, "strides": [STRIDE, STRIDE]}
"""Attributes of a convolution that can take cells."""

CHANNELS_LAST: Final = (0, 2, 3, 1)
PLANES: Final = (0, 3, 1, 2)


@dataclass(frozen=True)
class Reach:
    """The cells that outputs which are given as one read.

    Attributes:
        count: all of them.
        before: cells of padding on the left.
        after: cells of padding on the right.
        first: the pixel of them at which the first output begins.
    """

    count: int
    before: int
    after: int
    first: int


def put_in_cells(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Lets the first convolution read cells, where it takes three channels and every second pixel.

    Around it channels are turned last, reshaped and turned back. ONNX Runtime, whose integer convolutions want channels
    last, takes all these turns out again, and a Reshape copies nothing.

    Args:
        model: as the quantizer makes it; changed in place. It stays as it is where its first convolution is another, or
            pixels or outputs in a row do not fill their cells.
    """
    graph, layer = model.graph, find_first_layer(model)
    if layer is None or any(layer.attributes[name] != value for name, value in MADE_FOR.items()):
        return model
    (colours, height, width), (channels, rows, columns) = layer.taken, layer.given
    top, left, bottom, right = layer.attributes["pads"]
    reach = find_reach(layer.weights.shape[3], (left, right), width)
    if colours != 3 or reach is None:
        return model
    _widen_parameters(graph, layer, reach)
    _set_attributes(
        layer.conv,
        kernel_shape=[layer.weights.shape[2], reach.count],
        pads=[top, reach.before, bottom, reach.after],
        strides=[STRIDE, 1],
    )
    pixels, outputs = layer.pixels.input[0], layer.quantize.output[0]
    layer.pixels.input[0], layer.quantize.output[0] = "cells", f"{outputs}_of_cells"
    together = _reshape_last(graph, pixels, "cells", [0, height, width // CELL, CELL * colours])
    apart = _reshape_last(graph, f"{outputs}_of_cells", outputs, [0, rows, columns, channels])
    nodes = []
    for node in graph.node:
        nodes += [*together, node] if node == layer.pixels else [node, *apart] if node == layer.quantize else [node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def find_reach(kernel: int, padding: tuple[int, int], width: int) -> Reach | None:
    """Finds the cells that a convolution reads.

    Args:
        kernel: its width, in pixels.
        padding: on the left and on the right, in pixels.
        width: of what it convolves, in pixels.

    Returns:
        None where pixels or outputs in a row do not fill their cells.
    """
    left, right = padding
    outputs = (width + left + right - kernel) // STRIDE + 1
    if width % CELL or outputs % TOGETHER:
        return None
    before = math.ceil(left / CELL)
    first = before * CELL - left
    count = math.ceil((first + STRIDE * (TOGETHER - 1) + kernel) / CELL)
    after = outputs // TOGETHER + count - 1 - before - width // CELL
    return Reach(count, before, after, first) if after >= 0 else None


def widen(weights: np.ndarray, reach: Reach) -> np.ndarray:
    """The weights of a convolution for cells.

    Args:
        weights: `[channels, 3, height, width]`, for pixels.
        reach: of as wide a kernel.

    Returns:
        `[2 * channels, 12, height, cells]`, zero where an output does not reach.
    """
    channels, colours, height, width = weights.shape
    wide = np.zeros((TOGETHER, channels, colours, height, reach.count * CELL), weights.dtype)
    for output in range(TOGETHER):
        start = reach.first + STRIDE * output
        wide[output, ..., start : start + width] = weights
    cells = wide.reshape(TOGETHER, channels, colours, height, reach.count, CELL)
    return cells.transpose(0, 1, 5, 2, 3, 4).reshape(TOGETHER * channels, CELL * colours, height, reach.count)


def _widen_parameters(graph: "onnx.GraphProto", layer: FirstLayer, reach: Reach) -> None:
    names = {name for node in layer.parameters for name in node.input}
    wide = {}
    for name, array in read_initializers(graph, names).items():
        if array.ndim:
            array = widen(array, reach) if array.ndim == 4 else np.tile(array, TOGETHER)
        wide[name] = add_initializer(graph, f"{name}_of_cells", array)
    for node in layer.parameters:
        node.input[:] = [wide[name] for name in node.input]
    drop_unused(graph, names)


def _set_attributes(node: "onnx.NodeProto", **values: list[int]) -> None:
    from onnx import helper

    kept = [each for each in node.attribute if each.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])


def _reshape_last(graph: "onnx.GraphProto", tensor: str, output: str, shape: list[int]) -> "list[onnx.NodeProto]":
    """Gives planes another shape as if channels came last; the shape is that of channels last, too."""
    from onnx import helper

    turned = helper.make_node("Transpose", [tensor], [f"{output}_last"], f"Turn_{output}", perm=CHANNELS_LAST)
    shaped = make_reshape(graph, f"{output}_last", f"{output}_shaped", shape)
    back = helper.make_node("Transpose", [f"{output}_shaped"], [output], f"Turn_back_{output}", perm=PLANES)
    return [turned, shaped, back]
