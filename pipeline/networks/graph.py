"""The backbone graph: any converted network behind the contract of all backbones.

uint8 RGB `pixels [n, size, size, 3]` in, float32 `features [n, d]` out, pixel scaling inside, and names that do not
depend on the history of the process. Cutting a user's graph belongs in `own/graph_cut.py`.
"""

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.networks.graph_parts import dimensions, rename_by_order
from pipeline.networks.pixel_scaling import PixelScaling

PIXELS: Final = "pixels"
SCALED: Final = "scaled"
FEATURES: Final = "features"
_PREFIX: Final = "daylight"


def wrap_graph(bare: onnx.ModelProto, size: int, scaling: PixelScaling) -> onnx.ModelProto:
    """Puts layout, cast and scaling in front of a bare graph and renames all its tensors.

    The bare graph, from scaled pixels `[n, 3, size, size]` or `[n, size, size, 3]` to `[n, d]`, has one input and one
    output, and is not changed.

    Raises:
        onnx.checker.ValidationError: if the graph is not valid ONNX, for example if an operation was not converted.
    """
    model = onnx.ModelProto()
    model.CopyFrom(bare)
    graph = model.graph
    (bare_input,), (bare_output,) = graph.input, graph.output
    prefix = _scale_pixels(scaling, dimensions(bare_input)[1] == 3, bare_input.type.tensor_type.elem_type)
    suffix = []
    if bare_output.type.tensor_type.elem_type != TensorProto.FLOAT:
        suffix.append(helper.make_node("Cast", [bare_output.name], [f"{_PREFIX}_features"], to=TensorProto.FLOAT))
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
    _drop_unstable_fields(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _scale_pixels(scaling: PixelScaling, is_channels_first: bool, element_type: int) -> onnx.GraphProto:
    """The nodes from uint8 pixels to the input of a bare graph; the transpose comes first, while pixels are bytes."""
    axis, shape = (1, (3, 1, 1)) if is_channels_first else (3, (3,))
    steps: list[tuple[str, np.ndarray | None, dict[str, Any]]] = []
    if is_channels_first:
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


def _drop_unstable_fields(model: onnx.ModelProto) -> None:
    """Drops comments and the opsets of unused domains, which vary between processes."""
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    model.ClearField("opset_import")
    model.opset_import.extend(opsets)
