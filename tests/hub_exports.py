"""Small graphs in the shapes in which hubs export their networks; the weights are noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
PATCH = 8
DIMENSION = 24
GRID = (SIZE // PATCH) ** 2

FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
PLANES = ["batch", 3, SIZE, SIZE]
ANY = ["batch_size", "num_channels", "height", "width"]
"""As Hugging Face's optimum declares pixels."""

Values = list[tuple[str, list[int | str]]]


class Export:
    """A graph under construction, of one input."""

    def __init__(self, name: str, shape: Sequence[int | str], dtype: int = FLOAT) -> None:
        self.input = helper.make_tensor_value_info(name, dtype, shape)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(27)
        self.dtype = np.float32

    def constant(self, array: np.ndarray) -> str:
        """Adds a constant; floats get the type of the network."""
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array
        self.constants.append(numpy_helper.from_array(array, f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def weights(self, *shape: int, scale: float = 0.3) -> str:
        """Adds weights of normal noise."""
        return self.constant(self.random.normal(0, scale, shape))

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        output = output or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def patches(self, tensor: str) -> str:
        """A map `[n, d, 4, 4]`."""
        attributes = {"kernel_shape": [PATCH, PATCH], "strides": [PATCH, PATCH]}
        return self.add("Conv", tensor, self.weights(DIMENSION, 3, PATCH, PATCH), **attributes)

    def tokens(self, tensor: str, prefix: int, output: str = "") -> str:
        """Tokens `[n, prefix + 16, d]` of a map after a layer of attention, as of a vision transformer."""
        flat = self.add("Reshape", tensor, self.constant(np.array([0, DIMENSION, -1])))
        tokens = self.add("Transpose", flat, perm=[0, 2, 1])
        if prefix:
            count = self.add("Gather", self.add("Shape", tokens), self.constant(np.array([0])))
            rest = self.constant(np.array([prefix, DIMENSION]))
            first = self.add("Expand", self.weights(1, prefix, DIMENSION), self.add("Concat", count, rest, axis=0))
            tokens = self.add("Concat", first, tokens, axis=1)
        tokens = self.add("Add", tokens, self.weights(1, prefix + GRID, DIMENSION))
        query, key, value = (self.add("MatMul", tokens, self.weights(DIMENSION, DIMENSION)) for _ in range(3))
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 2, 1]))
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=2), value)
        summed = self.add("Add", tokens, mixed)
        affine = (self.constant(np.ones(DIMENSION)), self.constant(np.zeros(DIMENSION)))
        return self.add("LayerNormalization", summed, *affine, output=output, axis=-1)

    def mean(self, tensor: str, output: str = "") -> str:
        """The mean of a map, `[n, d, 1, 1]`."""
        return self.add("GlobalAveragePool", self.add("Relu", tensor), output=output)

    def classify(self, tensor: str, output: str = "logits") -> str:
        """A linear classifier of seven classes."""
        return self.add("Gemm", tensor, self.weights(DIMENSION, 7), self.weights(7), output=output)

    def build(self, outputs: Sequence[str], opset: int = 17, ir_version: int = 10) -> onnx.ModelProto:
        """The graph with these outputs."""
        declared = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "main_graph", [self.input], declared, self.constants)
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="pytorch")
        return onnx.shape_inference.infer_shapes(model)


def transformer(
    prefix: int,
    shape: Sequence[int | str] = PLANES,
    outputs: Sequence[str] = ("last_hidden_state",),
    opset: int = 17,
    ir_version: int = 10,
) -> onnx.ModelProto:
    """A vision transformer; `pooler_output`, `image_embeds` and `logits` are what Hugging Face derives from CLS."""
    export = Export("pixel_values", shape)
    tokens = export.tokens(export.patches("pixel_values"), prefix, "last_hidden_state")
    if set(outputs) != {"last_hidden_state"}:
        first = export.add("Gather", tokens, export.constant(np.array(0)), output="pooled", axis=1)
        dense = export.add("MatMul", first, export.weights(DIMENSION, DIMENSION))
        export.add("Tanh", dense, output="pooler_output")
        export.add("MatMul", first, export.weights(DIMENSION, 16), output="image_embeds")
        export.classify(first)
    return export.build(outputs, opset, ir_version)


def convolutional(
    shape: Sequence[int | str] = PLANES, opset: int = 17, ir_version: int = 10, end: str = "logits"
) -> onnx.ModelProto:
    """A convolutional classifier of timm or torchvision, or the part of it up to `features` or `map`."""
    export = Export("input", shape)
    features = export.patches("input")
    if end == "map":
        export.add("Relu", features, output="map")
    else:
        export.add("Flatten", export.mean(features), output="features")
    if end == "logits":
        export.classify("features")
    return export.build([end], opset, ir_version)


def residual() -> onnx.ModelProto:
    """Hugging Face's ResNet: a map and its mean `[n, d, 1, 1]`, everything free."""
    export = Export("pixel_values", ANY)
    mapped = export.add("Identity", export.patches("pixel_values"), output="last_hidden_state")
    export.mean(mapped, "pooler_output")
    return export.build(["last_hidden_state", "pooler_output"])


def half(is_inside: bool) -> onnx.ModelProto:
    """A classifier of half precision, inside alone or also at its input and output."""
    export = Export("input", PLANES, FLOAT if is_inside else HALF)
    export.dtype = np.float16
    pixels = export.add("Cast", "input", to=HALF) if is_inside else "input"
    export.add("Flatten", export.mean(export.patches(pixels)), output="features")
    export.classify("features", "half" if is_inside else "logits")
    if is_inside:
        export.add("Cast", "half", output="logits", to=FLOAT)
    return export.build(["logits"])


def channels_last(end: str) -> onnx.ModelProto:
    """TensorFlow's layout, with a classifier or with a map `[n, 4, 4, d]` at the end."""
    export = Export("input_1", ["unk__1", SIZE, SIZE, 3])
    mapped = export.patches(export.add("Transpose", "input_1", perm=[0, 3, 1, 2]))
    if end == "map":
        export.add("Transpose", mapped, output="map", perm=[0, 2, 3, 1])
    else:
        export.add("Flatten", export.mean(mapped), output="features")
        export.classify("features", "dense")
        export.add("Softmax", "dense", output="predictions", axis=-1)
    return export.build([end])


def of_bytes() -> onnx.ModelProto:
    """A classifier that takes bytes and scales them itself."""
    export = Export("image", ["n", SIZE, SIZE, 3], BYTE)
    pixels = export.add("Cast", export.add("Transpose", "image", perm=[0, 3, 1, 2]), to=FLOAT)
    scaled = export.add("Mul", pixels, export.constant(np.array(1 / 255)))
    export.add("Flatten", export.mean(export.patches(scaled)), output="features")
    export.classify("features")
    return export.build(["logits"])


def quantised() -> onnx.ModelProto:
    """A classifier with quantized weights, as optimum's and Olive's quantizers write it."""
    export = Export("input", PLANES)
    steps = export.constant(export.random.integers(-100, 100, (DIMENSION, 3, PATCH, PATCH), np.int8))
    kernel = export.add(
        "DequantizeLinear", steps, export.constant(np.array(0.01)), export.constant(np.array(0, np.int8))
    )
    mapped = export.add("Conv", "input", kernel, kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])
    export.add("Flatten", export.mean(mapped), output="features")
    export.classify("features")
    return export.build(["logits"])


def of_functions() -> onnx.ModelProto:
    """A classifier whose layers are functions of the graph, as PyTorch's exporter writes modules."""
    model = convolutional()
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    body = helper.make_node("Gemm", ["x", "kernel", "bias"], ["y"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("torch.nn", "Linear", ["x", "kernel", "bias"], ["y"], [body], opsets))
    gemm.op_type, gemm.domain = "Linear", "torch.nn"
    model.opset_import.append(helper.make_opsetid("torch.nn", 1))
    return model


def with_weights_as_inputs() -> onnx.ModelProto:
    """A file of 2018: every weight is an input too."""
    model = convolutional(opset=7)
    model.ir_version = 3
    for weight in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    return model


def of_two_towers() -> onnx.ModelProto:
    """CLIP as a whole, with the tower of texts."""
    model = transformer(1)
    model.graph.input.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]))
    return model


def of_videos() -> onnx.ModelProto:
    """A network of sixteen frames."""
    model = convolutional()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", FLOAT, ["n", 3, 16, SIZE, SIZE]))
    return model


def detector() -> onnx.ModelProto:
    """Boxes and scores."""
    export = Export("pixel_values", PLANES)
    tokens = export.tokens(export.patches("pixel_values"), 0)
    export.add("MatMul", tokens, export.weights(DIMENSION, 4), output="pred_boxes")
    export.add("MatMul", tokens, export.weights(DIMENSION, 91), output="logits")
    return export.build(["logits", "pred_boxes"])
