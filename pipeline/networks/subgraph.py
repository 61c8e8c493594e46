"""Subgraphs: parts of a stranger's ONNX graph, and what ONNX Runtime computes with them.

Nothing here knows of pictures; what a graph takes is `graph_input.py`, where it is cut `graph_cut.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from pipeline.embed.backbone import open_session
from pipeline.networks.graph import inner_graphs

if TYPE_CHECKING:
    import onnx

Run = Callable[..., np.ndarray]

RUNTIME_ERRORS: Final = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
FATAL: Final = 4
"""Severity from which ONNX Runtime logs: what it refuses is raised, and need not be printed too."""


class GraphError(ValueError):
    """A graph that cannot become a backbone; its text continues a sentence that begins with the file's name."""


def prune_graph(model: "onnx.ModelProto", tensor: str) -> "onnx.ModelProto":
    """The part of a graph that computes one tensor, its only output, whose type is left open."""
    from onnx import helper

    nodes = sort_nodes(model.graph, [tensor])
    needed = {tensor}.union(*(read_by(node) for node in nodes))
    graph = helper.make_graph(
        nodes,
        "bare",
        [each for each in model.graph.input if each.name in needed],
        [helper.make_empty_tensor_value_info(tensor)],
        [each for each in model.graph.initializer if each.name in needed],
        sparse_initializer=[each for each in model.graph.sparse_initializer if each.values.name in needed],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def sort_nodes(graph: "onnx.GraphProto", tensors: Iterable[str]) -> "list[onnx.NodeProto]":
    """The nodes that compute some tensors, each after those that it reads, in an order that only the graph decides.

    Converters write the nodes of one and the same graph in an order that changes from process to process.
    """
    producers = {tensor: node for node in graph.node for tensor in node.output}
    order: dict[tuple[str, ...], onnx.NodeProto] = {}  # by outputs
    waiting = [(tensor, False) for tensor in reversed(list(tensors))]
    while waiting:
        tensor, is_read = waiting.pop()
        node = producers.get(tensor)
        if node is None or tuple(node.output) in order:
            continue
        if is_read:
            order[tuple(node.output)] = node
        else:
            waiting += [(tensor, True), *((each, False) for each in reversed(list(read_by(node))))]
    return list(order.values())


def read_by(node: "onnx.NodeProto") -> Iterator[str]:
    """The tensors that a node reads, those within its own graphs included."""
    yield from filter(None, node.input)
    for graph in inner_graphs(node):
        yield from (each.name for each in graph.output)
        for inner in graph.node:
            yield from read_by(inner)


def find_varying(model: "onnx.ModelProto") -> set[str]:
    """The tensors that depend on the graph's inputs; all others are constants."""
    varying = {each.name for each in model.graph.input}
    for node in model.graph.node:
        if not varying.isdisjoint(read_by(node)):
            varying.update(filter(None, node.output))
    return varying


def compute_constant(model: "onnx.ModelProto", tensor: str) -> np.ndarray:
    """The value of a tensor that depends on no input, such as a kernel that is dequantised first.

    Raises:
        GraphError: where ONNX Runtime cannot compute it.
    """
    from onnx import numpy_helper

    for initializer in model.graph.initializer:
        if initializer.name == tensor:
            return numpy_helper.to_array(initializer)
    return open_graph(prune_graph(model, tensor))()


def open_graph(model: "onnx.ModelProto") -> Run:
    """Opens a graph with one thread.

    Returns:
        A function from the graph's inputs, by position, to its only output.

    Raises:
        GraphError: where ONNX Runtime refuses the graph; so does the function, where it refuses the inputs.
    """
    run_options = onnxruntime.RunOptions()
    run_options.log_severity_level = FATAL
    try:
        session = open_session(model.SerializeToString(), FATAL)
    except RUNTIME_ERRORS as error:
        raise GraphError(f"cannot be opened by ONNX Runtime ({brief(error)}): export it anew") from error
    names = [each.name for each in session.get_inputs()]

    def run(*arrays: np.ndarray) -> np.ndarray:
        try:
            (value,) = session.run(None, dict(zip(names, arrays, strict=True)), run_options)
        except RUNTIME_ERRORS as error:
            raise GraphError(f"cannot be run by ONNX Runtime ({brief(error)}): export it anew") from error
        return np.asarray(value)

    return run


def brief(error: BaseException) -> str:
    """The first sentence of an error's text, on one line and without its end where it is long."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    sentence = " ".join(re.split(r"\.\s|\n\s*\n|==>", text, maxsplit=1)[0].split()).rstrip(".")
    return sentence if len(sentence) <= 160 else f"{sentence[:160]} …"
