"""ONNX file: a user's `.onnx`, read without running it and without opening any other file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from pipeline.networks.graph_parts import inner_graphs
from pipeline.networks.graph_session import GraphError, brief

MAX_BYTES: Final = 2**31 - 1  # maximum of a protobuf message


def read_onnx_file(file: Path) -> onnx.ModelProto:
    """Reads a graph with its weights inside.

    Raises:
        GraphError: if the file is not a valid graph, or keeps its weights in other files.
    """
    if file.stat().st_size > MAX_BYTES:
        raise GraphError("is larger than 2 GiB, the maximum of an ONNX file: export a smaller network")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise GraphError("is not an ONNX file, or is truncated: export it again") from error
    if not model.graph.node:
        raise GraphError("is not an ONNX file, or has no graph: export it again")
    places = sorted({entry.value for entry in _list_external_entries(model.graph) if entry.key == "location"})
    if places:
        raise GraphError(f"keeps its weights in other files ({', '.join(places[:3])}): save it with its weights inside")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"is not a valid ONNX graph ({brief(error)}): export it again") from error
    return model


def name_producer(model: onnx.ModelProto) -> str:
    """The producer of a graph according to its metadata."""
    name = f"{model.producer_name} {model.producer_version}"
    return name.removesuffix("None").strip() or "not stated"  # tf2onnx's commit is None in packages


def _list_external_entries(graph: onnx.GraphProto) -> Iterator[onnx.StringStringEntryProto]:
    for tensor in graph.initializer:
        yield from tensor.external_data
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.t.external_data
        for inner in inner_graphs(node):
            yield from _list_external_entries(inner)
