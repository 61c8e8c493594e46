"""Half precision: widens a graph of float16 or bfloat16 to float32, in which ONNX Runtime computes on a CPU anyway.

It would insert a cast around every operation, and round in between: slower, and other features on other processors.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pipeline.networks.graph_parts import inner_graphs

HALVES: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def widen(model: onnx.ModelProto) -> None:
    """Widens all weights, casts and declared types of a graph without local functions, in place."""
    for graph in _list_graphs(model.graph):
        for weight in graph.initializer:
            _widen_tensor(weight)
        for declared in (*graph.input, *graph.output, *graph.value_info):
            if declared.type.tensor_type.elem_type in HALVES:
                declared.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    _widen_tensor(attribute.t)
                if attribute.name in ("to", "dtype") and attribute.i in HALVES:
                    attribute.i = TensorProto.FLOAT


def _list_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _list_graphs(inner)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in HALVES:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
