"""Graph cut: from a user-supplied classifier in ONNX to a bare graph, from scaled pixels to pooled features.

The position of the cut and the pooling belong here, the input in `graph_input.py`, the batch in `graph_batch.py`;
`graph.py` adds layout, cast and scaling of pixels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, inliner

from pipeline.networks.graph_parts import dimensions, find_varying, prune_graph, rename_by_order
from pipeline.networks.graph_session import INVALID_GRAPH, GraphError, brief, open_graph
from pipeline.networks.own.graph_batch import check_freed, check_independence, free_batch, make_probe
from pipeline.networks.own.graph_input import GraphInput, describe_shape, recognise_input
from pipeline.networks.own.last_layer import find_tail, read_last_layer
from pipeline.networks.pretrained import LastLayer

Step = tuple[str, dict[str, Any]]  # operation and attributes

MIN_OPSET: Final = 7  # older ones broadcast by attributes, which ONNX Runtime does not support
NAME_A_TENSOR: Final = "set DAYLIGHT_FEATURES_TENSOR to a tensor of shape [n, d]"


@dataclass(frozen=True)
class Cut:
    """A graph that was cut at its features."""

    bare: onnx.ModelProto  # for `Pretrained.convert`; the same graph gives the same bytes
    input: GraphInput
    features_tensor: str  # name of the features in the whole graph
    last_layer: LastLayer | None  # classifier of 1000 classes directly on the features, if there was one
    run: Callable[[np.ndarray], np.ndarray]  # the bare graph, from scaled pixels [n, size, size, 3] to float32 [n, d]


def cut_graph(whole: onnx.ModelProto, features_tensor: str = "") -> Cut:
    """Cuts a valid graph, which it does not change, at a tensor, or the input of its classifier layer, or its output.

    The named tensor holds features `[n, d]`, or a feature map, which is averaged.

    Raises:
        GraphError: if it is not a graph from images to features, or cannot take any number of images at once.
    """
    model, graph_input = _prepare(whole)
    images = make_probe(graph_input)
    tensor, last_layer = _find_features(model, features_tensor, images[:1])
    bare = prune_graph(model, tensor)
    features = open_graph(bare)(images[:1])
    if not graph_input.is_batch_free:
        bare.graph.input[0].CopyFrom(_declare(graph_input, "n"))
        free_batch(bare)
        bare = prune_graph(bare, tensor)
        check_freed(bare, graph_input, images[:1], features)
    _pool(bare, features)
    _name_by_order(bare)
    run = open_graph(bare)
    check_independence(run, graph_input, images)

    def run_scaled(scaled: np.ndarray) -> np.ndarray:
        return run(graph_input.arrange(scaled)).astype(np.float32)

    return Cut(bare, graph_input, tensor, last_layer, run_scaled)


def _prepare(whole: onnx.ModelProto) -> tuple[onnx.ModelProto, GraphInput]:
    """Copies a graph, inlines functions, removes weights from the inputs, and fixes the size of images."""
    model = onnx.ModelProto()
    model.CopyFrom(inliner.inline_local_functions(whole) if whole.functions else whole)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), MIN_OPSET)
    if opset < MIN_OPSET:
        raise GraphError(f"uses opset {opset} of ONNX: export it with {MIN_OPSET} or later")
    model.ir_version = max(model.ir_version, 4)  # in older versions every weight had to be an input
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    graph_input = recognise_input([(each.name, _name_type(each), dimensions(each)) for each in inputs])
    del model.graph.input[:]
    model.graph.input.append(_declare(graph_input, "n" if graph_input.is_batch_free else 1))
    return model, graph_input


def _find_features(model: onnx.ModelProto, features_tensor: str, image: np.ndarray) -> tuple[str, LastLayer | None]:
    """Finds the tensor to cut at, and the ImageNet classifier directly on it, if there is one."""
    outputs = [each.name for each in model.graph.output]
    varying = find_varying(model)
    computed = varying - {each.name for each in model.graph.input}
    if features_tensor and features_tensor not in computed:
        raise GraphError(
            f"computes no tensor {features_tensor!r} from its input: set DAYLIGHT_FEATURES_TENSOR to one, such as"
            f" {', '.join(_list_candidates(model, varying))}"
        )
    if len(outputs) != 1 and not features_tensor:
        raise GraphError(f"has {len(outputs)} outputs ({_describe(model.graph.output)}): {NAME_A_TENSOR}")
    tail = find_tail(model, outputs[0] if len(outputs) == 1 else features_tensor, varying)
    tensor = features_tensor or tail.features
    if tensor not in computed:
        raise GraphError(f"computes no features from its input ({_describe(model.graph.output)}): export it again")
    if tail.layer is None or tensor != tail.features:
        return tensor, None
    if not _is_row(open_graph(prune_graph(model, tensor))(image).shape):
        return features_tensor or tail.unsquashed, None  # the layer works on every position of a map, or on every token
    return tensor, read_last_layer(model, tail)


def _list_candidates(model: onnx.ModelProto, varying: set[str]) -> list[str]:
    """The outputs, and the inputs of the last layers."""
    layers = [node for node in reversed(model.graph.node) if node.op_type in ("Conv", "Gemm", "MatMul")]
    inputs = [node.input[0] for node in layers if node.input[0] in varying][:3]
    return list(dict.fromkeys([*(each.name for each in model.graph.output), *inputs]))


def _pool(bare: onnx.ModelProto, features: np.ndarray) -> None:
    """Pools the output of a graph to `[n, d]`, given its value for one image."""
    tensor, dtype = bare.graph.output[0].name, features.dtype
    if dtype.kind != "f":
        raise GraphError(f"gives {dtype} at {tensor}, not floats: {NAME_A_TENSOR}")
    steps = _choose_pooling(features.shape, tensor)
    if len(steps) > 1 and dtype != np.float32:  # ONNX Runtime averages maps of float32 only
        steps, dtype = [("Cast", {"to": onnx.TensorProto.FLOAT}), *steps], np.dtype(np.float32)
    for operation, attributes in steps:
        tensor, source = f"daylight_{operation}", tensor
        bare.graph.node.append(helper.make_node(operation, [source], [tensor], **attributes))
    channels = 3 if steps and steps[0][0] == "Transpose" else 1
    dimension = features.size if _is_row(features.shape) else features.shape[channels]
    element_type = helper.np_dtype_to_tensor_dtype(dtype)
    bare.graph.output[0].CopyFrom(helper.make_tensor_value_info(tensor, element_type, ["n", dimension]))


def _choose_pooling(shape: tuple[int, ...], tensor: str) -> list[Step]:
    """The operations that turn features `[1, ...]` of an image into `[1, d]`."""
    flatten: Step = ("Flatten", {})
    if _is_row(shape):
        return [flatten] if len(shape) > 2 else []
    description = describe_shape(["n", *shape[1:]])
    if len(shape) != 4 or shape[0] != 1:
        raise GraphError(f"gives {description} at {tensor}, which cannot be pooled: {NAME_A_TENSOR}")
    _, first, middle, last = shape
    if (first == middle) == (middle == last):
        raise GraphError(f"gives {description} at {tensor}, whose channels are ambiguous: {NAME_A_TENSOR}")
    transpose: list[Step] = [] if middle == last else [("Transpose", {"perm": [0, 3, 1, 2]})]
    return [*transpose, ("GlobalAveragePool", {}), flatten]


def _name_by_order(bare: onnx.ModelProto) -> None:
    """Renames all tensors of a graph and checks that it is valid."""
    tensor = bare.graph.output[0].name
    rename_by_order(bare, {bare.graph.input[0].name: "scaled", tensor: "features"})
    try:
        onnx.checker.check_model(bare, full_check=True)
    except INVALID_GRAPH as error:
        raise GraphError(f"cannot be cut at {tensor} ({brief(error)}): {NAME_A_TENSOR}") from error


def _is_row(shape: tuple[int, ...]) -> bool:
    """Whether the values of an image form one row, such as `[1, d]`, `[1, d, 1, 1]` or `[1, 1, d]`."""
    return len(shape) > 1 and shape[0] == 1 and max(shape[1:]) == np.prod(shape[1:])


def _declare(graph_input: GraphInput, count: int | str) -> onnx.ValueInfoProto:
    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(graph_input.dtype))
    return helper.make_tensor_value_info(graph_input.name, element_type, [count, *graph_input.shape[1:]])


def _name_type(tensor: onnx.ValueInfoProto) -> str:
    element_type = tensor.type.tensor_type.elem_type
    known = element_type in helper.get_all_tensor_dtypes()
    return str(helper.tensor_dtype_to_np_dtype(element_type)) if known else "untyped"


def _describe(tensors: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(f"{each.name} {describe_shape(dimensions(each))}" for each in tensors) or "none"
