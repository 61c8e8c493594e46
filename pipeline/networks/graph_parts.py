"""Graph parts: reading, sorting, cutting and editing of nodes and tensors in any ONNX graph.

Nothing here is about images. `onnx.utils.extract_model` keeps names and order as converters write them, and these
change from process to process; the order here depends on the graph alone, so equal networks get equal digests.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


def dimensions(tensor: onnx.ValueInfoProto) -> list[int | str]:
    """The shape of an input or output: a number if fixed, else a name or `?`."""
    dims = tensor.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node, such as the branches of an If."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def read_by(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that a node reads, including those read by its inner graphs."""
    yield from filter(None, node.input)
    for graph in inner_graphs(node):
        yield from (each.name for each in graph.output)
        for inner in graph.node:
            yield from read_by(inner)


def find_varying(model: onnx.ModelProto) -> set[str]:
    """The tensors that depend on the graph's inputs; all others are constants."""
    varying = {each.name for each in model.graph.input}
    for node in model.graph.node:
        if not varying.isdisjoint(read_by(node)):
            varying.update(filter(None, node.output))
    return varying


def prune_graph(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The part of a graph that computes one tensor, its only output, which has no declared type."""
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


def sort_nodes(graph: onnx.GraphProto, tensors: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that compute some tensors, in a topological order that depends on the graph alone."""
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


def rename_by_order(model: onnx.ModelProto, fixed: Mapping[str, str]) -> None:
    """Renames nodes and tensors by their order, because converters number them by the history of their process.

    `fixed` maps some present names to new ones.
    """
    names = {"": "", **fixed}
    _rename(model.graph, lambda tensor: names.setdefault(tensor, f"tensor_{len(names)}"))
    positions = {name: position for position, name in enumerate(names.values())}
    model.graph.initializer.sort(key=lambda initializer: positions[initializer.name])


def _rename(graph: onnx.GraphProto, name: Callable[[str], str]) -> None:
    """Renames all tensors of a graph and of its inner graphs, which can read outer tensors."""
    for order, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{order}"
        for tensors in (node.input, node.output):
            tensors[:] = [name(tensor) for tensor in tensors]
        for inner in inner_graphs(node):
            _rename(inner, name)
    sparse = [initializer.values for initializer in graph.sparse_initializer]
    for named in (*graph.input, *graph.output, *graph.initializer, *sparse):
        named.name = name(named.name)
    del graph.value_info[:]


def read_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The values of a node's attributes, by name."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def read_initializers(graph: onnx.GraphProto, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The values of those of the named tensors that are initializers."""
    wanted = set(names)
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer if each.name in wanted}


def add_initializer(graph: onnx.GraphProto, name: str, array: np.ndarray) -> str:
    """Adds an initializer and returns its name."""
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def drop_unused(graph: onnx.GraphProto, names: Iterable[str]) -> None:
    """Removes those of the named initializers that no node reads."""
    unused = set(names).difference(*(read_by(node) for node in graph.node))
    for constant in [each for each in graph.initializer if each.name in unused]:
        graph.initializer.remove(constant)


def make_reshape(graph: onnx.GraphProto, tensor: str, output: str, shape: list[int]) -> onnx.NodeProto:
    """Makes a Reshape node and adds its shape as an initializer; a length of 0 keeps the length."""
    target = add_initializer(graph, f"{output}_shape", np.array(shape, np.int64))
    return helper.make_node("Reshape", [tensor, target], [output], f"Reshape_{output}")
