"""ONNX file: a user's `.onnx`, read without running it and without looking at any other file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.networks.graph import inner_graphs
from pipeline.networks.subgraph import GraphError, brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

MAX_BYTES: Final = 2**31 - 1
"""Of one protobuf message."""


def read_onnx_file(file: Path) -> "onnx.ModelProto":
    """Reads a graph with its weights inside.

    Raises:
        GraphError: where the file is none, or keeps its weights in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if file.stat().st_size > MAX_BYTES:
        raise GraphError("is larger than 2 GiB, which one ONNX file cannot be: export a smaller network")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise GraphError("is not an ONNX file, or a truncated one: export it anew") from error
    if not model.graph.node:
        raise GraphError("is not an ONNX file, or one without a graph: export it anew")
    places = sorted({entry.value for entry in _list_external_entries(model.graph) if entry.key == "location"})
    if places:
        raise GraphError(f"keeps its weights in other files ({', '.join(places[:3])}): save it with its weights inside")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"is not a valid ONNX graph ({brief(error)}): export it anew") from error
    return model


def name_producer(model: "onnx.ModelProto") -> str:
    """What wrote a graph, as it says."""
    said = f"{model.producer_name} {model.producer_version}".removesuffix(
        "None"
    )  # tf2onnx's commit, unknown to packages
    return said.strip() or "not stated"


def _list_external_entries(graph: "onnx.GraphProto") -> "Iterator[onnx.StringStringEntryProto]":
    for tensor in graph.initializer:
        yield from tensor.external_data
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.t.external_data
        for inner in inner_graphs(node):
            yield from _list_external_entries(inner)
