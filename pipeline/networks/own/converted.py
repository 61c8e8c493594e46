"""Converted networks: a user's TensorFlow network as a graph, beside the framework that it was made of.

What `keras_file.py` and `tensorflow_files.py` share, and how far a converted graph is from its network.
"""

import itertools
import logging
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph import inner_graphs
from pipeline.networks.own.graph_input import GraphInput, Shape, describe_shape, recognise_input
from pipeline.networks.pixel_scaling import PixelScaling
from pipeline.networks.pretrained import LastLayer
from pipeline.networks.subgraph import GraphError, brief, open_graph, prune_graph, sort_nodes

if TYPE_CHECKING:
    import onnx

FRAMEWORK_ERRORS: Final = (
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)
"""What Keras, TensorFlow and tf2onnx raise of what they cannot read or convert: they have no errors of their own."""


@dataclass(frozen=True)
class Converted:
    """A user's network in its framework and as a graph.

    Attributes:
        graph: the converted graph.
        output: the tensor of the graph that `compute` gives.
        compute: the network in its framework, from scaled pixels `[n, size, size, 3]` to that output.
        taken: what the network takes in its framework.
        producer: the framework and its version.
        features: how the framework calls the features, where it was cut there: `output` holds them, pooled.
        last_layer: the ImageNet classifier that the framework had on them.
        scaling: what the network expects of its pixels, and how that is known, where the framework tells.
    """

    graph: "onnx.ModelProto"
    output: str
    compute: Callable[[np.ndarray], np.ndarray]
    taken: GraphInput
    producer: str
    features: str = ""
    last_layer: LastLayer | None = None
    scaling: tuple[PixelScaling, str] | None = None


def recognise_only_input(inputs: Iterable[tuple[str, str, Iterable[int | None]]]) -> GraphInput:
    """Recognises what a network takes from the name, type and shape of each of its inputs; -1 and None are free.

    Raises:
        GraphError: where there are several, or the one is not for RGB pictures.
    """
    found = [(name, dtype, _write_shape(shape)) for name, dtype, shape in inputs]
    if len(found) != 1:
        said = ", ".join(f"{name} {describe_shape(shape)}" for name, _, shape in found) or "none"
        raise GraphError(f"has {len(found)} inputs ({said}): export it with one, for pictures")
    return recognise_input(*found[0])


def quieten_conversion() -> None:
    """Keeps TensorFlow and tf2onnx from printing what they deprecate or cannot convert."""
    for name in ("tensorflow", "tf2onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)


def check_conversion(graph: "onnx.ModelProto") -> "onnx.ModelProto":
    """Checks a graph of tf2onnx, and takes the numbers of its process out of the names of its tensors.

    Raises:
        GraphError: where an operation was not converted, which tf2onnx only logs.
    """
    import onnx

    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"has an operation that tf2onnx cannot convert ({brief(error)}): give it as .onnx") from error
    _drop_numbers(graph.graph)
    return graph


def measure_conversion(converted: Converted, taken: GraphInput, scaled: np.ndarray) -> float:
    """The largest difference between graph and framework, in units of the framework's largest number.

    Where the framework gives integers, in units of their type's range.

    Args:
        converted: the network.
        taken: what its graph takes.
        scaled: pixels as it expects them, `[n, size, size, 3]`; they are given one by one, lest its batch be fixed.

    Raises:
        GraphError: where one of the two cannot compute them, or they are of different shapes.
    """
    run = open_graph(prune_graph(converted.graph, converted.output))
    pictures = [scaled[row : row + 1] for row in range(len(scaled))]
    actual = np.stack([run(taken.arrange(picture)) for picture in pictures])
    try:
        expected = np.stack([converted.compute(picture) for picture in pictures])
    except FRAMEWORK_ERRORS as error:
        raise GraphError(f"cannot be run by {converted.producer} ({brief(error)}): export it anew") from error
    if actual.shape != expected.shape:
        shapes = [describe_shape(list(each.shape[1:])) for each in (actual, expected)]
        raise GraphError(f"gives {shapes[0]} once converted, not {shapes[1]}: give it as .onnx")
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    if expected.dtype.kind in "iu":
        return float(difference / (int(np.iinfo(expected.dtype).max) - int(np.iinfo(expected.dtype).min)))
    return float(difference / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def _write_shape(shape: Iterable[int | None]) -> Shape:
    return ["?" if side is None or side < 0 else int(side) for side in shape]


def _drop_numbers(graph: "onnx.GraphProto") -> None:
    """Sorts nodes, and names tensors without the numbers that tf2onnx takes from what its process did before."""
    if any(True for node in graph.node for _ in inner_graphs(node)):
        return
    names = {each.name: each.name for each in (*graph.input, *graph.output, *graph.initializer)} | {"": ""}
    used = set(names)
    nodes = sort_nodes(graph, [each.name for each in graph.output])
    del graph.node[:]
    graph.node.extend(nodes)
    for node in graph.node:
        node.input[:] = [names[tensor] for tensor in node.input]
        for position, tensor in enumerate(node.output):
            if tensor not in names:
                plain = re.sub(r"__\d+", "", tensor)
                numbered = itertools.chain([plain], (f"{plain}_{number}" for number in itertools.count(1)))
                names[tensor] = next(name for name in numbered if name not in used)
                used.add(names[tensor])
            node.output[position] = names[tensor]
    del graph.value_info[:]
