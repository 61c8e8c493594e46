"""ONNX file: a user's `.onnx`, read without running it; weights beside it are read from its own folder alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from pipeline.networks.graph_parts import inner_graphs
from pipeline.networks.graph_session import GraphError, brief

MAX_BYTES: Final = 2**31 - 1  # maximum of a protobuf message, which the backbone is


def read_onnx_file(file: Path) -> onnx.ModelProto:
    """Reads a graph with its weights, from the file itself and from external data in the same folder.

    Raises:
        GraphError: if the file is not a valid graph, or its weights are missing, elsewhere or too large.
    """
    model = _parse(file)
    if not model.graph.node:
        raise GraphError("is not an ONNX file, or has no graph: export it again")
    data = _locate(file, model)
    if sum(each.stat().st_size for each in (file, *data)) > MAX_BYTES:
        raise GraphError("is larger than 2 GiB, the maximum of an ONNX file: export a smaller network")
    try:
        if data:
            onnx.load_external_data_for_model(model, str(file.parent))
            for tensor in _list_tensors(model.graph):
                tensor.ClearField("data_location")  # so that the graph equals one with its weights inside
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise GraphError(f"is not a valid ONNX graph ({brief(error)}): export it again") from error
    return model


def find_external_data(file: Path) -> list[Path]:
    """The files beside a graph that hold its weights, sorted by name.

    Raises:
        GraphError: if the graph cannot be read, or one of them is missing or in another folder.
    """
    return _locate(file, _parse(file))


def name_producer(model: onnx.ModelProto) -> str:
    """The producer of a graph according to its metadata."""
    name = f"{model.producer_name} {model.producer_version}"
    return name.removesuffix("None").strip() or "not stated"  # tf2onnx's commit is None in packages


def _parse(file: Path) -> onnx.ModelProto:
    if file.stat().st_size > MAX_BYTES:
        raise GraphError("is larger than 2 GiB, the maximum of an ONNX file: export a smaller network")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise GraphError("is not an ONNX file, or is truncated: export it again") from error
    return model


def _locate(file: Path, model: onnx.ModelProto) -> list[Path]:
    """The files of external data; a name with a folder, or a link, could reach any file of this machine."""
    entries = (entry for tensor in _list_tensors(model.graph) for entry in tensor.external_data)
    places = sorted({entry.value for entry in entries if entry.key == "location"})
    for place in places:
        beside = file.parent / place
        if Path(place).name != place or beside.is_symlink():
            raise GraphError(f"keeps its weights in another folder ({place!r:.80}): save them beside it")
        if not beside.is_file():
            raise GraphError(f"lacks the file of its weights ({place!r:.80}): copy it into the same folder")
    return [file.parent / place for place in places]


def _list_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for inner in inner_graphs(node):
            yield from _list_tensors(inner)
