"""Initializers: the constants of a graph, by name; onnx is imported where it is used, as everywhere in `pipeline`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.networks.subgraph import read_by

if TYPE_CHECKING:
    import onnx


def read_initializers(graph: "onnx.GraphProto", names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of some tensors that are constants."""
    from onnx import numpy_helper

    wanted = set(names)
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer if each.name in wanted}


def add_initializer(graph: "onnx.GraphProto", name: str, array: np.ndarray) -> str:
    """Adds a constant, and gives its name back."""
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def drop_unused(graph: "onnx.GraphProto", names: Iterable[str]) -> None:
    """Removes those of some constants that no node reads any longer."""
    unused = set(names).difference(*(read_by(node) for node in graph.node))
    for constant in [each for each in graph.initializer if each.name in unused]:
        graph.initializer.remove(constant)


def make_reshape(graph: "onnx.GraphProto", tensor: str, output: str, shape: list[int]) -> "onnx.NodeProto":
    """A node that gives a tensor another shape, in which 0 keeps a length; adds the constant that says it."""
    from onnx import helper

    wanted = add_initializer(graph, f"{output}_shape", np.array(shape, np.int64))
    return helper.make_node("Reshape", [tensor, wanted], [output], f"Reshape_{output}")
