"""Graph cut: from a user-supplied network in ONNX to a bare graph, from scaled pixels to one vector per image.

The position of the cut belongs here, pooling in `reading.py`, the input in `graph_input.py`, the batch in
`graph_batch.py`; `graph.py` adds layout, cast and scaling of pixels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import helper, inliner

from pipeline.networks.graph_parts import dimensions, find_varying, prune_graph, rename_by_order
from pipeline.networks.graph_session import INVALID_GRAPH, GraphError, brief, open_graph
from pipeline.networks.own.graph_batch import check_freed, check_independence, free_batch, make_probe
from pipeline.networks.own.graph_input import GraphInput, describe_shape, list_inputs
from pipeline.networks.own.half_precision import widen
from pipeline.networks.own.last_layer import find_tail, read_last_layer
from pipeline.networks.own.reading import (
    NAME_A_TENSOR,
    Reading,
    count_features,
    is_row,
    list_readings,
    pool,
    split_name,
)
from pipeline.networks.pretrained import LastLayer

MIN_OPSET: Final = 7  # older ones broadcast by attributes, which ONNX Runtime does not support
IR_VERSIONS: Final = (4, 13)  # in older versions every weight had to be an input; ONNX Runtime reads no later ones
MAX_OUTPUTS: Final = 4  # that are read; an export with all hidden states has dozens
MIN_DIMENSION: Final = 8  # of each of several outputs; boxes have four numbers


@dataclass(frozen=True)
class Cut:
    """A graph that was cut at its features."""

    bare: onnx.ModelProto  # for `Pretrained.convert`; the same graph gives the same bytes
    input: GraphInput
    features_tensor: str  # name of the reading that is used
    readings: tuple[str, ...]  # names of all readings, the likeliest first
    last_layer: LastLayer | None  # classifier of 1000 classes directly on the features, if there was one
    run: Callable[[np.ndarray], np.ndarray]  # the bare graph, from scaled pixels [n, size, size, 3] to float32 [n, d]


@dataclass(frozen=True)
class _Place:
    """A tensor to cut at, its value for one image, and the ImageNet classifier directly on it, if there is one."""

    readings: list[Reading]
    value: np.ndarray
    last_layer: LastLayer | None


def cut_graph(whole: onnx.ModelProto, features_tensor: str = "", size: int | None = None) -> Cut:
    """Cuts a valid graph, which it does not change, at a tensor, or the input of its classifier layer, or its output.

    Args:
        whole: the graph; of several outputs, each that can be pooled is a reading.
        features_tensor: tensor of features `[n, d]`, of a map, which is averaged, or of tokens `[n, tokens, d]`; or a
            reading of tokens, such as `last_hidden_state:cls`.
        size: height and width of images, in pixels, for a graph that declares none.

    Raises:
        GraphError: if it is not a graph from images to features, or cannot take any number of images at once.
    """
    model, graph_input = _prepare(whole, size)
    images = make_probe(graph_input)
    wanted, places = _find_places(model, features_tensor, images[:1])
    readings = [(reading, place) for place in places for reading in place.readings]
    readings.sort(key=lambda pair: not is_row(pair[1].value.shape))  # the network's own vector before maps and tokens
    chosen = [pair for pair in readings if not wanted.pooling or pair[0] == wanted]
    if not chosen:
        raise GraphError(f"gives no tokens with {wanted.pooling} at {wanted.tensor}: {NAME_A_TENSOR}")
    reading, place = chosen[0]
    bare = prune_graph(model, reading.tensor)
    if not graph_input.is_batch_free:
        bare.graph.input[0].CopyFrom(_declare(graph_input, "n"))
        free_batch(bare)
        bare = prune_graph(bare, reading.tensor)
        check_freed(bare, graph_input, images[:1], place.value)
    pool(bare, reading, place.value)
    _name_by_order(bare)
    run = open_graph(bare)
    check_independence(run, graph_input, images)

    def run_scaled(scaled: np.ndarray) -> np.ndarray:
        return run(graph_input.arrange(scaled)).astype(np.float32)

    names = tuple(each.name for each, _ in chosen)
    return Cut(bare, graph_input, reading.name, names, place.last_layer, run_scaled)


def _prepare(whole: onnx.ModelProto, size: int | None) -> tuple[onnx.ModelProto, GraphInput]:
    """Copies a graph, inlines and widens it, removes weights from its inputs, and fixes layout and size of images."""
    model = onnx.ModelProto()
    model.CopyFrom(inliner.inline_local_functions(whole) if whole.functions else whole)
    widen(model)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), MIN_OPSET)
    if opset < MIN_OPSET:
        raise GraphError(f"uses opset {opset} of ONNX: export it with {MIN_OPSET} or later")
    model.ir_version = min(max(model.ir_version, IR_VERSIONS[0]), IR_VERSIONS[1])
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    candidates = list_inputs([(each.name, _name_type(each), dimensions(each)) for each in inputs], size)
    failures = []
    for candidate in candidates:
        del model.graph.input[:]
        model.graph.input.append(_declare(candidate, "n" if candidate.is_batch_free else 1))
        if len(candidates) == 1:
            return model, candidate
        try:
            open_graph(prune_graph(model, model.graph.output[0].name))(make_probe(candidate)[:1])
        except GraphError as error:
            failures.append(error)
        else:
            return model, candidate
    raise failures[0]


def _find_places(model: onnx.ModelProto, features_tensor: str, image: np.ndarray) -> tuple[Reading, list[_Place]]:
    """The reading that was asked for, and the tensors to cut at: the named one, or one for each output."""
    varying = find_varying(model)
    computed = varying - {each.name for each in model.graph.input}
    wanted = split_name(features_tensor, computed)
    if features_tensor and wanted.tensor not in computed:
        raise GraphError(
            f"computes no tensor {wanted.tensor!r} from its input: set DAYLIGHT_FEATURES_TENSOR to one, such as"
            f" {', '.join(_list_candidates(model, varying))}"
        )
    outputs = [each.name for each in model.graph.output]
    if features_tensor:
        return wanted, [_find_place(model, outputs[0] if len(outputs) == 1 else "", wanted.tensor, varying, image)]
    if not computed.intersection(outputs):
        raise GraphError(f"computes no features from its input ({_describe(model.graph.output)}): export it again")
    several = f"has {len(outputs)} outputs ({_describe(model.graph.output[:MAX_OUTPUTS])}): {NAME_A_TENSOR}"
    if len(outputs) > MAX_OUTPUTS:
        raise GraphError(several)
    try:
        places = [_find_place(model, output, "", varying, image) for output in outputs]
    except GraphError as error:
        if len(outputs) == 1:
            raise
        raise GraphError(several) from error
    if len(outputs) > 1 and min(count_features(each.value) for each in places) < MIN_DIMENSION:
        raise GraphError(several)
    return wanted, list({each.readings[0].tensor: each for each in reversed(places)}.values())[::-1]


def _find_place(model: onnx.ModelProto, output: str, tensor: str, varying: set[str], image: np.ndarray) -> _Place:
    """The place of a named tensor, or of the last layer before an output."""
    tail = find_tail(model, output or tensor, varying)
    found = tensor or tail.features
    last_layer = None
    if tail.layer is not None and found == tail.features:
        if is_row(open_graph(prune_graph(model, found))(image).shape):
            last_layer = read_last_layer(model, tail)
        else:
            found = tensor or tail.unsquashed  # the layer works on every position of a map, or on every token
    value = open_graph(prune_graph(model, found))(image)
    return _Place(list_readings(found, value), value, last_layer)


def _list_candidates(model: onnx.ModelProto, varying: set[str]) -> list[str]:
    """The outputs, and the inputs of the last layers."""
    layers = [node for node in reversed(model.graph.node) if node.op_type in ("Conv", "Gemm", "MatMul")]
    inputs = [node.input[0] for node in layers if node.input[0] in varying][:3]
    return list(dict.fromkeys([*(each.name for each in model.graph.output), *inputs]))


def _name_by_order(bare: onnx.ModelProto) -> None:
    """Renames all tensors of a graph and checks that it is valid."""
    tensor = bare.graph.output[0].name
    rename_by_order(bare, {bare.graph.input[0].name: "scaled", tensor: "features"})
    try:
        onnx.checker.check_model(bare, full_check=True)
    except INVALID_GRAPH as error:
        raise GraphError(f"cannot be cut at {tensor} ({brief(error)}): {NAME_A_TENSOR}") from error


def _declare(graph_input: GraphInput, count: int | str) -> onnx.ValueInfoProto:
    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(graph_input.dtype))
    return helper.make_tensor_value_info(graph_input.name, element_type, [count, *graph_input.shape[1:]])


def _name_type(tensor: onnx.ValueInfoProto) -> str:
    element_type = tensor.type.tensor_type.elem_type
    known = element_type in helper.get_all_tensor_dtypes()
    return str(helper.tensor_dtype_to_np_dtype(element_type)) if known else "untyped"


def _describe(tensors: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(f"{each.name} {describe_shape(dimensions(each))}" for each in tensors) or "none"
