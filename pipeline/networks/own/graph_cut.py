"""Graph cut: from a stranger's classifier in ONNX to a bare graph, from scaled pixels to pooled features.

Here: where a graph is cut, and how a map of features is pooled. What it takes is `graph_input.py`, how many at once
`graph_batch.py`; layout, cast and scaling of pixels are put in front by `graph.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.networks.graph import dimensions, rename_by_order
from pipeline.networks.own.graph_batch import free_batch, make_probe, prove_freed, prove_independence
from pipeline.networks.own.graph_input import GraphInput, describe_shape, recognise_input
from pipeline.networks.own.last_layer import find_tail, read_last_layer
from pipeline.networks.pretrained import LastLayer
from pipeline.networks.subgraph import GraphError, brief, find_varying, open_graph, prune_graph

if TYPE_CHECKING:
    import onnx

MIN_OPSET: Final = 7
"""Before it, arithmetic broadcasts by attributes, and ONNX Runtime promises nothing."""

Step = tuple[str, dict[str, Any]]
"""An operation and its attributes."""

NAME_A_TENSOR: Final = "let DAYLIGHT_FEATURES_TENSOR name a tensor of [n, d]"


@dataclass(frozen=True)
class Cut:
    """A graph that was cut at its features.

    Attributes:
        bare: as `Pretrained.convert` makes it; the same graph gives the same bytes.
        taken: its input.
        features_tensor: the name of the features in the whole graph.
        last_layer: the classifier of 1000 classes that stood directly on the features.
        run: the bare graph in ONNX Runtime, from scaled pixels `[n, size, size, 3]` to float32 `[n, d]`.
    """

    bare: "onnx.ModelProto"
    taken: GraphInput
    features_tensor: str
    last_layer: LastLayer | None
    run: Callable[[np.ndarray], np.ndarray]


def cut_graph(whole: "onnx.ModelProto", features_tensor: str = "") -> Cut:
    """Cuts a graph at a named tensor, else at the input of its last classifier layer, else at its output.

    Args:
        whole: a valid graph with its weights inside; it is not changed.
        features_tensor: the name of a tensor of features `[n, d]`, or of a map of them, which is pooled by its mean.

    Raises:
        GraphError: where it is no graph from pictures to features, or cannot take any number of pictures at once.
    """
    model, taken = _prepare(whole)
    pictures = make_probe(taken)
    tensor, last_layer = _find_features(model, features_tensor, pictures[:1])
    bare = prune_graph(model, tensor)
    features = open_graph(bare)(pictures[:1])
    if not taken.is_batch_free:
        bare.graph.input[0].CopyFrom(_declare(taken, "n"))
        free_batch(bare)
        bare = prune_graph(bare, tensor)
        prove_freed(bare, taken, pictures[:1], features)
    _pool(bare, features)
    _name_by_order(bare)
    run = open_graph(bare)
    prove_independence(run, taken, pictures)
    return Cut(bare, taken, tensor, last_layer, lambda scaled: run(taken.arrange(scaled)).astype(np.float32))


def _prepare(whole: "onnx.ModelProto") -> tuple["onnx.ModelProto", GraphInput]:
    """Makes a copy in which functions are nodes, weights are no inputs, and the size of pictures is fixed."""
    import onnx
    from onnx import inliner

    model = onnx.ModelProto()
    model.CopyFrom(inliner.inline_local_functions(whole) if whole.functions else whole)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), MIN_OPSET)
    if opset < MIN_OPSET:
        raise GraphError(f"is written in opset {opset} of ONNX: export it with {MIN_OPSET} or later")
    model.ir_version = max(model.ir_version, 4)  # before it, every weight had to be an input too
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    if len(inputs) != 1:
        raise GraphError(f"has {len(inputs)} inputs ({_describe(inputs)}): export it with one, for pictures")
    taken = recognise_input(inputs[0].name, _name_type(inputs[0]), dimensions(inputs[0]))
    del model.graph.input[:]
    model.graph.input.append(_declare(taken, "n" if taken.is_batch_free else 1))
    return model, taken


def _find_features(model: "onnx.ModelProto", features_tensor: str, picture: np.ndarray) -> tuple[str, LastLayer | None]:
    """Finds the tensor to cut at, and the ImageNet classifier that stands directly on it, if one does."""
    outputs = [each.name for each in model.graph.output]
    varying = find_varying(model)
    computed = varying - {each.name for each in model.graph.input}
    if features_tensor and features_tensor not in computed:
        raise GraphError(
            f"computes no tensor {features_tensor!r} from its input: let DAYLIGHT_FEATURES_TENSOR name one, such as"
            f" {', '.join(_list_candidates(model, varying))}"
        )
    if len(outputs) != 1 and not features_tensor:
        raise GraphError(f"has {len(outputs)} outputs ({_describe(model.graph.output)}): {NAME_A_TENSOR}")
    tail = find_tail(model, outputs[0] if len(outputs) == 1 else features_tensor, varying)
    tensor = features_tensor or tail.features
    if tensor not in computed:
        raise GraphError(f"computes no features from its input ({_describe(model.graph.output)}): export it anew")
    if tail.layer is None or tensor != tail.features:
        return tensor, None
    if not _is_row(open_graph(prune_graph(model, tensor))(picture).shape):
        return features_tensor or tail.unsquashed, None  # a layer on every field of a map, or on every token
    return tensor, read_last_layer(model, tail)


def _list_candidates(model: "onnx.ModelProto", varying: set[str]) -> list[str]:
    """The outputs, and what the last layers work on."""
    layers = [node for node in reversed(model.graph.node) if node.op_type in ("Conv", "Gemm", "MatMul")]
    on = [node.input[0] for node in layers if node.input[0] in varying][:3]
    return list(dict.fromkeys([*(each.name for each in model.graph.output), *on]))


def _pool(bare: "onnx.ModelProto", features: np.ndarray) -> None:
    """Pools the output of a graph to `[n, d]`, given what it is for one picture."""
    import onnx

    tensor, dtype = bare.graph.output[0].name, features.dtype
    if dtype.kind != "f":
        raise GraphError(f"gives {dtype} at {tensor}, not fractions: {NAME_A_TENSOR}")
    steps = _choose_pooling(features.shape, tensor)
    if len(steps) > 1 and dtype != np.float32:  # ONNX Runtime has no other mean over a map
        steps, dtype = [("Cast", {"to": onnx.TensorProto.FLOAT}), *steps], np.dtype(np.float32)
    for operation, attributes in steps:
        tensor, source = f"daylight_{operation}", tensor
        bare.graph.node.append(onnx.helper.make_node(operation, [source], [tensor], **attributes))
    channels = 3 if steps and steps[0][0] == "Transpose" else 1
    dimension = features.size if _is_row(features.shape) else features.shape[channels]
    element_type = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    bare.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(tensor, element_type, ["n", dimension]))


def _choose_pooling(shape: tuple[int, ...], tensor: str) -> list[Step]:
    """The operations that turn features `[1, ...]` of a picture into `[1, d]`."""
    flatten: Step = ("Flatten", {})
    if _is_row(shape):
        return [flatten] if len(shape) > 2 else []
    said = describe_shape(["n", *shape[1:]])
    if len(shape) != 4 or shape[0] != 1:
        raise GraphError(f"gives {said} at {tensor}, which is not pooled: {NAME_A_TENSOR}")
    _, first, middle, last = shape
    if (first == middle) == (middle == last):
        raise GraphError(f"gives {said} at {tensor}, which does not say where its channels are: {NAME_A_TENSOR}")
    planes: list[Step] = [] if middle == last else [("Transpose", {"perm": [0, 3, 1, 2]})]
    return [*planes, ("GlobalAveragePool", {}), flatten]


def _name_by_order(bare: "onnx.ModelProto") -> None:
    """Gives all tensors of a graph names of ours, and checks that it is valid."""
    import onnx

    (given,), (made,) = bare.graph.input, bare.graph.output
    tensor = made.name
    rename_by_order(bare, {given.name: "scaled", made.name: "features"})
    try:
        onnx.checker.check_model(bare, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"cannot be cut at {tensor} ({brief(error)}): {NAME_A_TENSOR}") from error


def _is_row(shape: tuple[int, ...]) -> bool:
    """Whether a picture's values stand in one row, such as `[1, d]`, `[1, d, 1, 1]` or `[1, 1, d]`."""
    return len(shape) > 1 and shape[0] == 1 and max(shape[1:]) == np.prod(shape[1:])


def _declare(taken: GraphInput, count: int | str) -> "onnx.ValueInfoProto":
    from onnx import helper

    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(taken.dtype))
    return helper.make_tensor_value_info(taken.name, element_type, [count, *taken.shape[1:]])


def _name_type(tensor: "onnx.ValueInfoProto") -> str:
    from onnx import helper

    element_type = tensor.type.tensor_type.elem_type
    known = element_type in helper.get_all_tensor_dtypes()
    return str(helper.tensor_dtype_to_np_dtype(element_type)) if known else "of no type"


def _describe(tensors: "Iterable[onnx.ValueInfoProto]") -> str:
    return ", ".join(f"{each.name} {describe_shape(dimensions(each))}" for each in tensors) or "none"
