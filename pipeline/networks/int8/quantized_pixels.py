"""Quantized pixels: an int8 graph takes the bytes of a picture as they are, where all channels are scaled alike.

The quantizer scales bytes to floats, and rounds these to bytes again. A scale and a zero point by which every grey
level is its own quantized value save both, and grey levels that rounding merged: 0.15 of the 4.1 milliseconds that
EfficientNet-Lite0 takes. Done in three steps: `find_quantization`, then `move_onto_zero_point` before quantizing, and
`take_pixels` after. onnx is imported where it is used: executors import `pipeline` too, and do not need it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph import SCALED
from pipeline.networks.int8.initializers import add_initializer, drop_unused, read_initializers
from pipeline.networks.subgraph import read_by

if TYPE_CHECKING:
    import onnx

SCALED_ALIKE: Final = (["Transpose", "Cast", "Mul"], ["Transpose", "Cast", "Mul", "Add"])
"""What may stand between the pixels and the first layer."""


@dataclass(frozen=True)
class PixelQuantization:
    """How a byte stands for a number: `scale * (byte - zero_point)`.

    Attributes:
        scale: what one grey level is to the network.
        zero_point: the grey level nearest to the network's zero, which pads pictures.
        rest: what the network sees at that grey level; at most half a grey level.
    """

    scale: np.float32
    zero_point: np.uint8
    rest: float

    @property
    def override(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """As the quantizer takes it, in place of what it would choose: pictures may lack black or white."""
        return {SCALED: [{"scale": np.array(self.scale), "zero_point": np.array(self.zero_point)}]}


def find_quantization(model: "onnx.ModelProto") -> PixelQuantization | None:
    """Finds how pixels can be their own quantized values.

    Args:
        model: made by `wrap_graph`, in fp32.

    Returns:
        None where they cannot: channels that are scaled differently, blue first or not at all; a zero that is no grey
        level; anything but a convolution with constant weights next.
    """
    graph = model.graph
    front = _front(graph)
    readers = [node for node in graph.node if SCALED in read_by(node)]
    if [node.op_type for node in front] not in SCALED_ALIKE or [node.op_type for node in readers] != ["Conv"]:
        return None
    parameters = set(filter(None, readers[0].input[1:]))
    if parameters != read_initializers(graph, parameters).keys():
        return None
    steps = [np.unique(array) for node in front for array in read_initializers(graph, node.input).values()]
    if any(values.size > 1 for values in steps):
        return None
    scale, offset = (*(values.item() for values in steps), 0.0)[:2]
    zero_point = round(-offset / scale) if scale > 0 else -1
    if not 0 <= zero_point <= 255:
        return None
    return PixelQuantization(np.float32(scale), np.uint8(zero_point), scale * zero_point + offset)


def move_onto_zero_point(model: "onnx.ModelProto", pixels: PixelQuantization) -> "onnx.ModelProto":
    """Moves what the zero point leaves of the offset into the bias of the first convolution.

    Within a picture this is exact; where its border is padded, the padding becomes a whole grey level, and differs by
    `rest`. The quantizer then rounds the bias by the scale that the pixels have.

    Args:
        model: for which `find_quantization` found something; changed in place.
        pixels: what it found.
    """
    graph = model.graph
    *_, offset = _front(graph)
    if offset.op_type != "Add":
        return model
    (conv,) = (node for node in graph.node if SCALED in node.input)
    constants = read_initializers(graph, [*offset.input, *conv.input])
    moved = pixels.rest * constants[conv.input[1]].sum(axis=(1, 2, 3), dtype=np.float64)
    biases = [constants[name] for name in conv.input[2:] if name]
    replaced = constants.keys() - {conv.input[1]}
    whole = np.float32(-pixels.scale * np.float32(pixels.zero_point))
    offset.input[:] = [
        add_initializer(graph, f"{SCALED}_offset", np.full_like(constants[name], whole)) if name in constants else name
        for name in offset.input
    ]
    conv.input[2:] = [add_initializer(graph, f"{SCALED}_bias", np.asarray(sum(biases, moved), np.float32))]
    drop_unused(graph, replaced)
    return model


def take_pixels(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Takes out what leads from bytes to the same bytes: cast, scaling, and quantizing.

    Args:
        model: the quantized one of `move_onto_zero_point`, with its `override`; changed in place.
    """
    graph = model.graph
    turn, *scaling = _front(graph)
    (quantize,) = (node for node in graph.node if SCALED in node.input)
    turn.output[0] = quantize.output[0]
    scaling.append(quantize)
    for node in scaling:
        graph.node.remove(node)
    del graph.value_info[:]
    drop_unused(graph, {name for node in scaling for name in node.input})
    return model


def _front(graph: "onnx.GraphProto") -> "list[onnx.NodeProto]":
    """The nodes from the pixels to the first layer, in order."""
    producers = {tensor: node for node in graph.node for tensor in node.output}
    nodes, tensor = [], SCALED
    while tensor in producers:
        nodes.append(producers[tensor])
        tensor = nodes[-1].input[0]
    return nodes[::-1]
