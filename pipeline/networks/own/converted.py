"""Converted networks: a user's TensorFlow network both in its framework and as a graph, and the difference of the two.

Reading files belongs in `keras_file.py` and `tensorflow_files.py`.
"""

import itertools
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import onnx

from pipeline.networks.graph_parts import inner_graphs, prune_graph, sort_nodes
from pipeline.networks.graph_session import INVALID_GRAPH, GraphError, brief, open_graph
from pipeline.networks.keras_runtime import import_keras
from pipeline.networks.own.graph_input import GraphInput, Shape, describe_shape
from pipeline.networks.pixel_scaling import PixelScaling
from pipeline.networks.pretrained import LastLayer

FAILURES: Final = (AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, BadZipFile)
"""Errors of Keras, TensorFlow and tf2onnx on unsupported files; they define no exceptions of their own."""


@dataclass(frozen=True)
class Converted:
    """A user's network in its framework and as a graph."""

    graph: onnx.ModelProto
    output: str  # tensor of the graph that corresponds to the result of `compute`
    compute: Callable[[np.ndarray], np.ndarray]  # in the framework, from scaled pixels [n, size, size, 3] to the output
    input: GraphInput  # in the framework
    producer: str  # framework and version
    features: str = ""  # their name if the framework cut the network there; `output` then holds them, pooled
    last_layer: LastLayer | None = None  # ImageNet classifier on these features, if there was one
    scaling: tuple[PixelScaling, str] | None = None  # that the framework suggests, and the reason


def read_shape(shape: Iterable[int | None]) -> Shape:
    """A shape as Keras and TensorFlow declare it; -1 and None are free."""
    return ["?" if side is None or side < 0 else int(side) for side in shape]


def import_tensorflow() -> Any:
    """Imports TensorFlow, and silences its warnings and those of tf2onnx."""
    import_keras()
    import tensorflow

    for name in ("tensorflow", "tf2onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return tensorflow


def convert(run: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    """Runs tf2onnx, checks the graph and makes the names of its tensors independent of the process.

    Raises:
        GraphError: if tf2onnx fails, or an operation was not converted, which it only logs.
    """
    try:
        graph = run()
    except (*FAILURES, *INVALID_GRAPH, import_tensorflow().errors.OpError) as error:
        raise GraphError(f"cannot be converted by tf2onnx ({brief(error)}): supply it as .onnx") from error
    try:
        onnx.checker.check_model(graph, full_check=True)
    except INVALID_GRAPH as error:
        raise GraphError(f"has an operation tf2onnx cannot convert ({brief(error)}): supply it as .onnx") from error
    _stabilise_names(graph.graph)
    return graph


def measure_conversion(converted: Converted, graph_input: GraphInput, scaled: np.ndarray) -> float:
    """The largest difference between graph and framework, relative to the framework's largest value.

    For integer outputs, it is relative to the range of their dtype. Scaled pixels, `[n, size, size, 3]`, are run one by
    one, because the batch may be fixed.

    Raises:
        GraphError: if one of the two cannot be run, or their outputs differ in shape.
    """
    run = open_graph(prune_graph(converted.graph, converted.output))
    images = [scaled[row : row + 1] for row in range(len(scaled))]
    actual = np.stack([run(graph_input.arrange(image)) for image in images])
    try:
        expected = np.stack([converted.compute(image) for image in images])
    except FAILURES as error:
        raise GraphError(f"cannot be run by {converted.producer} ({brief(error)}): export it again") from error
    if actual.shape != expected.shape:
        shapes = [describe_shape(list(each.shape[1:])) for each in (actual, expected)]
        raise GraphError(f"gives {shapes[0]} after conversion instead of {shapes[1]}: supply it as .onnx")
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    if expected.dtype.kind in "iu":
        return float(difference / (int(np.iinfo(expected.dtype).max) - int(np.iinfo(expected.dtype).min)))
    return float(difference / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def _stabilise_names(graph: onnx.GraphProto) -> None:
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
