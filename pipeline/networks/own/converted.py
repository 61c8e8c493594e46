"""Converted networks: a user's TensorFlow network both in its framework and as a graph, and the difference of the two.

Reading files belongs in `keras_file.py` and `tensorflow_files.py`.
"""

import itertools
import logging
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.graph_parts import inner_graphs, prune_graph, sort_nodes
from pipeline.networks.graph_session import GraphError, brief, open_graph
from pipeline.networks.own.graph_input import GraphInput, Shape, describe_shape, recognise_input
from pipeline.networks.pixel_scaling import PixelScaling
from pipeline.networks.pretrained import LastLayer

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
"""Errors of Keras, TensorFlow and tf2onnx on unsupported files; they define no exceptions of their own."""


@dataclass(frozen=True)
class Converted:
    """A user's network in its framework and as a graph.

    Attributes:
        graph: converted graph.
        output: tensor of the graph that corresponds to the result of `compute`.
        compute: the network in its framework, from scaled pixels `[n, size, size, 3]` to that output.
        input: input of the network in its framework.
        producer: framework and version.
        features: name of the features if the framework cut the network there; `output` then holds them, pooled.
        last_layer: ImageNet classifier on these features, if there was one.
        scaling: pixel scaling that the framework suggests and the reason, if it does.
    """

    graph: "onnx.ModelProto"
    output: str
    compute: Callable[[np.ndarray], np.ndarray]
    input: GraphInput
    producer: str
    features: str = ""
    last_layer: LastLayer | None = None
    scaling: tuple[PixelScaling, str] | None = None


def recognise_only_input(inputs: Iterable[tuple[str, str, Iterable[int | None]]]) -> GraphInput:
    """Recognises the input of a network by the name, dtype and shape of its inputs; -1 and None are free.

    Raises:
        GraphError: if there is not exactly one, or it is not for RGB images.
    """
    found = [(name, dtype, _write_shape(shape)) for name, dtype, shape in inputs]
    if len(found) != 1:
        names = ", ".join(f"{name} {describe_shape(shape)}" for name, _, shape in found) or "none"
        raise GraphError(f"has {len(found)} inputs ({names}): export it with one, for images")
    return recognise_input(*found[0])


def silence_conversion() -> None:
    """Silences the warnings of TensorFlow and tf2onnx."""
    for name in ("tensorflow", "tf2onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)


def check_conversion(graph: "onnx.ModelProto") -> "onnx.ModelProto":
    """Checks a graph of tf2onnx and makes the names of its tensors independent of the process.

    Raises:
        GraphError: if an operation was not converted, which tf2onnx only logs.
    """
    import onnx

    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(
            f"has an operation that tf2onnx cannot convert ({brief(error)}): supply it as .onnx"
        ) from error
    _stabilise_names(graph.graph)
    return graph


def measure_conversion(converted: Converted, graph_input: GraphInput, scaled: np.ndarray) -> float:
    """The largest difference between graph and framework, relative to the framework's largest value.

    For integer outputs, it is relative to the range of their dtype.

    Args:
        converted: the network.
        graph_input: input of its graph.
        scaled: scaled pixels, `[n, size, size, 3]`; run one by one, because the batch may be fixed.

    Raises:
        GraphError: if one of the two cannot be run, or their outputs differ in shape.
    """
    run = open_graph(prune_graph(converted.graph, converted.output))
    images = [scaled[row : row + 1] for row in range(len(scaled))]
    actual = np.stack([run(graph_input.arrange(image)) for image in images])
    try:
        expected = np.stack([converted.compute(image) for image in images])
    except FRAMEWORK_ERRORS as error:
        raise GraphError(f"cannot be run by {converted.producer} ({brief(error)}): export it again") from error
    if actual.shape != expected.shape:
        shapes = [describe_shape(list(each.shape[1:])) for each in (actual, expected)]
        raise GraphError(f"gives {shapes[0]} after conversion instead of {shapes[1]}: supply it as .onnx")
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    if expected.dtype.kind in "iu":
        return float(difference / (int(np.iinfo(expected.dtype).max) - int(np.iinfo(expected.dtype).min)))
    return float(difference / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def _write_shape(shape: Iterable[int | None]) -> Shape:
    return ["?" if side is None or side < 0 else int(side) for side in shape]


def _stabilise_names(graph: "onnx.GraphProto") -> None:
    """Sorts nodes and removes from tensor names the numbers that depend on the history of the process."""
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
