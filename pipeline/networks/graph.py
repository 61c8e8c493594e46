"""Graph surgery: from a converted ONNX graph to the one contract of every backbone.

uint8 RGB `pixels [n, size, size, 3]` in, float32 `features [n, d]` out, the scaling of pixels inside, and names that do
not depend on what the process did before. How a stranger's graph is cut is `graph_cut.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.networks.pixel_scaling import PixelScaling

if TYPE_CHECKING:
    import onnx

PIXELS: Final = "pixels"
SCALED: Final = "scaled"
FEATURES: Final = "features"
_PREFIX: Final = "daylight"


def wrap_graph(bare: "onnx.ModelProto", size: int, scaling: PixelScaling) -> "onnx.ModelProto":
    """Puts layout, cast and scaling in front of a bare graph, and gives all its tensors names of ours.

    Args:
        bare: from scaled pixels `[n, 3, size, size]` or `[n, size, size, 3]` to `[n, d]`; one input, one output.
        size: side of the square pictures, in pixels.
        scaling: what the bare graph expects of its pixels.

    Raises:
        onnx.checker.ValidationError: where the graph is not valid ONNX, such as an operation that was not converted.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.ModelProto()
    model.CopyFrom(bare)
    graph = model.graph
    (bare_input,), (bare_output,) = graph.input, graph.output
    prefix = _scale_pixels(scaling, dimensions(bare_input)[1] == 3, bare_input.type.tensor_type.elem_type)
    suffix = [helper.make_node("Cast", [bare_output.name], [f"{_PREFIX}_features"], to=TensorProto.FLOAT)]
    if bare_output.type.tensor_type.elem_type == TensorProto.FLOAT:
        suffix = []
    nodes = [*prefix.node, *graph.node, *suffix]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(prefix.initializer)
    dimension = dimensions(bare_output)[-1]
    fixed = {
        f"{_PREFIX}_pixels": PIXELS,
        prefix.node[-1].output[0]: SCALED,
        bare_input.name: SCALED,
        nodes[-1].output[0] if suffix else bare_output.name: FEATURES,
    }
    del graph.input[:], graph.output[:]
    rename_by_order(model, fixed)
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", size, size, 3]))
    graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["n", dimension]))
    _drop_what_varies(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def dimensions(tensor: "onnx.ValueInfoProto") -> list[int | str]:
    """The shape of an input or output: a number where it is fixed, else its name, or `?`."""
    dims = tensor.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]


def inner_graphs(node: "onnx.NodeProto") -> "Iterator[onnx.GraphProto]":
    """The graphs within a node, such as the branches of an If."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def rename_by_order(model: "onnx.ModelProto", fixed: Mapping[str, str]) -> None:
    """Names nodes and tensors by their order: converters number them by what their process did before.

    Args:
        model: changed in place.
        fixed: names that are given, by present name.
    """
    names = {"": "", **fixed}
    _rename(model.graph, lambda tensor: names.setdefault(tensor, f"tensor_{len(names)}"))
    positions = {name: position for position, name in enumerate(names.values())}
    model.graph.initializer.sort(key=lambda initializer: positions[initializer.name])


def _rename(graph: "onnx.GraphProto", name: Callable[[str], str]) -> None:
    """Renames all tensors of a graph and of the graphs within it, which see the names outside."""
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


def _scale_pixels(scaling: PixelScaling, takes_planes: bool, element_type: int) -> "onnx.GraphProto":
    """The nodes from uint8 pixels to what a bare graph takes; pixels are turned into planes while they are bytes."""
    from onnx import TensorProto, helper, numpy_helper

    axis, shape = (1, (3, 1, 1)) if takes_planes else (3, (3,))
    steps: list[tuple[str, np.ndarray | None, dict[str, Any]]] = []
    if takes_planes:
        steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))
    if scaling.is_bgr:
        steps.append(("Gather", np.array([2, 1, 0]), {"axis": axis}))
    steps.append(("Cast", None, {"to": TensorProto.FLOAT}))
    if scaling.scale != (1, 1, 1):
        steps.append(("Mul", np.array(scaling.scale, np.float32).reshape(shape), {}))
    if scaling.offset != (0, 0, 0):
        steps.append(("Add", np.array(scaling.offset, np.float32).reshape(shape), {}))
    if element_type != TensorProto.FLOAT:
        steps.append(("Cast", None, {"to": element_type}))
    nodes, constants, current = [], [], f"{_PREFIX}_pixels"
    for number, (operation, constant, attributes) in enumerate(steps):
        inputs = [current]
        if constant is not None:
            inputs.append(f"{_PREFIX}_constant_{number}")
            constants.append(numpy_helper.from_array(constant, inputs[-1]))
        current = f"{_PREFIX}_{number}"
        nodes.append(helper.make_node(operation, inputs, [current], **attributes))
    return helper.make_graph(nodes, _PREFIX, [], [], constants)


def _drop_what_varies(model: "onnx.ModelProto") -> None:
    """Drops comments and the opsets of unused domains."""
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    model.ClearField("opset_import")
    model.opset_import.extend(opsets)
