"""Graph cut: small user-supplied ONNX graphs are cut at their features, or rejected with the reason."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.networks.graph import wrap_graph
from pipeline.networks.graph_session import GraphError
from pipeline.networks.own.graph_cut import Cut, cut_graph
from pipeline.networks.pixel_scaling import IMAGENET, RAW

SIZE = 16
WIDTH = 8
Node = tuple[str, list[str], str, dict[str, object]]

PLANES = ["n", 3, SIZE, SIZE]
ONE = [1, 3, SIZE, SIZE]
PIXELS = ["n", SIZE, SIZE, 3]

TRUNK: list[Node] = [
    ("Conv", ["planes", "filters"], "convolved", {"kernel_shape": [3, 3], "strides": [2, 2]}),
    ("Relu", ["convolved"], "map", {}),
    ("GlobalAveragePool", ["map"], "mean", {}),
]
GEMM: list[Node] = [
    ("Flatten", ["mean"], "flat", {}),
    ("Gemm", ["flat", "kernel_by_class", "bias"], "logits", {"transB": 1}),
    ("Softmax", ["logits"], "output", {}),
]
MATMUL: list[Node] = [
    ("Flatten", ["mean"], "flat", {}),
    ("MatMul", ["flat", "kernel"], "product", {}),
    ("Add", ["bias", "product"], "logits", {}),
    ("Sigmoid", ["logits"], "output", {}),
]
CONV: list[Node] = [
    ("Conv", ["mean", "kernel_of_fields", "bias"], "logits", {"kernel_shape": [1, 1]}),
    ("Flatten", ["logits"], "output", {}),
]


SHAPES = {
    "0_8_49": np.int64([0, WIDTH, 49]),
    "1_8": np.int64([1, WIDTH]),
    "1_-1": np.int64([1, -1]),
    "zero": np.int64([0]),
    "seven": np.int64([7]),
    "one": np.int64([1]),
    "zero_start": np.int64([0]),
    "four": np.int64([4]),
    "token": np.ones((1, WIDTH, 1, 1), np.float32),
}
BOXES: Node = ("Slice", ["map", "zero_start", "four", "one"], "boxes", {})
MEAN_OF_ALL: Node = ("ReduceMean", ["mean"], "mean_of_all", {"axes": [0]})


def make_graph(
    nodes: Sequence[Node],
    shape: Sequence[int | str] = PLANES,
    outputs: Sequence[str] = ("output",),
    classes: int = 5,
    dtype: type = np.float32,
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A graph with weights of normal noise, from the tensor `planes` of a shape."""
    random = np.random.default_rng(0)
    kernel = random.normal(0, 1, (WIDTH, classes))
    weights = {
        "filters": random.normal(0, 0.3, (WIDTH, 3, 3, 3)),
        "kernel": kernel,
        "kernel_by_class": kernel.T,
        "kernel_of_fields": kernel.T.reshape(classes, WIDTH, 1, 1),
        "bias": random.normal(0, 1, classes),
    }
    tensors = {name: weight.astype(dtype) for name, weight in weights.items()} | (constants or {})
    read = {name for _, inputs, _, _ in nodes for name in inputs} - {output for _, _, output, _ in nodes}
    graph = helper.make_graph(
        [helper.make_node(operation, inputs, [output], **rest) for operation, inputs, output, rest in nodes],
        "user-supplied",
        [helper.make_tensor_value_info("planes", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items() if name in read],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def compute(model: onnx.ModelProto, tensor: str, pixels: np.ndarray) -> np.ndarray:
    """The value of a tensor of a whole graph, image by image."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    whole.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    (graph_input,) = session.get_inputs()
    planes = pixels.transpose(0, 3, 1, 2) if graph_input.shape[1] == 3 else pixels
    rows = [session.run(None, {graph_input.name: planes[row : row + 1]})[0] for row in range(len(planes))]
    return np.concatenate(rows)


def wrap_and_run(cut: Cut, pixels: np.ndarray) -> np.ndarray:
    """The features of the exported backbone for bytes `[n, size, size, 3]`, scaled by `IMAGENET`."""
    content = wrap_graph(cut.bare, cut.input.size, IMAGENET).SerializeToString()
    session = onnxruntime.InferenceSession(content)
    features: np.ndarray = session.run(None, {"pixels": pixels})[0]
    return features


@pytest.fixture
def pixels() -> np.ndarray:
    """Three images of noise, as bytes."""
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def reshape(source: str, output: str, shape: Sequence[int]) -> Node:
    """A node whose shape is one of the constants in `SHAPES`."""
    return "Reshape", [source, "_".join(map(str, shape))], output, {}


def with_channels_last(nodes: Sequence[Node]) -> list[Node]:
    rest = [(op, ["turned" if name == "planes" else name for name in inputs], *others) for op, inputs, *others in nodes]
    return [("Transpose", ["planes"], "turned", {"perm": [0, 3, 1, 2]}), *rest]


@pytest.mark.parametrize("end", [GEMM, MATMUL, CONV], ids=["gemm", "matmul", "conv"])
@pytest.mark.parametrize("shape", [PLANES, PIXELS, [1, *PLANES[1:]], [1, *PIXELS[1:]]], ids=str)
def test_a_classifier_is_cut_at_the_input_of_its_last_layer(
    end: list[Node], shape: list[int | str], pixels: np.ndarray
) -> None:
    nodes = [*TRUNK, *end]
    model = make_graph(nodes if shape[1] == 3 else with_channels_last(nodes), shape)
    cut = cut_graph(model)
    scaled = IMAGENET.apply(pixels)
    expected = compute(model, "mean", scaled).reshape(3, WIDTH)
    assert cut.features_tensor == ("mean" if end is CONV else "flat")
    np.testing.assert_allclose(cut.run(scaled), expected, atol=1e-6)
    np.testing.assert_allclose(wrap_and_run(cut, pixels), expected, atol=1e-6)


@pytest.mark.parametrize("end", [GEMM, MATMUL, CONV], ids=["gemm", "matmul", "conv"])
@pytest.mark.parametrize("classes", [1000, 1001])
def test_an_imagenet_classifier_is_kept_without_its_background_class(
    end: list[Node], classes: int, pixels: np.ndarray
) -> None:
    model = make_graph([*TRUNK, *end], classes=classes)
    cut = cut_graph(model)
    scaled = IMAGENET.apply(pixels)
    expected = compute(model, "logits", scaled).reshape(3, classes)[:, -1000:]
    assert cut.last_layer is not None
    logits = cut.run(scaled) @ cut.last_layer.kernel + cut.last_layer.bias
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_shape_computed_from_the_batch_does_not_hide_the_last_layer(pixels: np.ndarray) -> None:
    flatten: list[Node] = [
        ("Shape", ["logits"], "sides", {}),
        ("Gather", ["sides", "zero"], "count", {}),
        ("Concat", ["count", "rest"], "shape", {"axis": 0}),
        ("Reshape", ["logits", "shape"], "row", {}),
        ("Softmax", ["row"], "output", {}),
    ]
    model = make_graph([*TRUNK, CONV[0], *flatten], constants=SHAPES | {"rest": np.int64([-1])})
    cut = cut_graph(model)
    scaled = IMAGENET.apply(pixels)
    assert cut.features_tensor == "mean"
    np.testing.assert_allclose(cut.run(scaled), compute(model, "mean", scaled).reshape(3, WIDTH), atol=1e-6)


def test_a_classifier_of_other_classes_is_dropped() -> None:
    assert cut_graph(make_graph([*TRUNK, *GEMM], classes=999)).last_layer is None


def test_a_temperature_after_the_last_layer_is_not_mistaken_for_a_bias() -> None:
    warm: list[Node] = [*TRUNK, *GEMM[:2], ("Mul", ["logits", "temperature"], "output", {})]
    cut = cut_graph(make_graph(warm, classes=1000, constants={"temperature": np.float32([0.5])}))
    assert (cut.features_tensor, cut.last_layer) == ("flat", None)


def test_quantised_features_are_taken_after_dequantization(pixels: np.ndarray) -> None:
    quantised: list[Node] = [
        *TRUNK,
        ("Flatten", ["mean"], "flat", {}),
        ("QuantizeLinear", ["flat", "step", "zero"], "steps", {}),
        ("DequantizeLinear", ["steps", "step", "zero"], "fractions", {}),
        ("DequantizeLinear", ["kernel_in_steps", "step", "kernel_zero"], "kernel", {}),
        ("MatMul", ["fractions", "kernel"], "product", {}),
        ("QuantizeLinear", ["product", "step", "zero"], "output", {}),
    ]
    steps = np.random.default_rng(2).integers(-128, 128, (WIDTH, 1000), np.int8)
    constants = {"step": np.float32(0.02), "zero": np.uint8(9), "kernel_zero": np.int8(3), "kernel_in_steps": steps}
    model = make_graph(quantised, constants={name: np.asarray(value) for name, value in constants.items()})
    cut = cut_graph(model)
    scaled = IMAGENET.apply(pixels)
    assert cut.features_tensor == "fractions"
    np.testing.assert_allclose(cut.run(scaled), compute(model, "fractions", scaled))
    assert cut.last_layer is not None
    np.testing.assert_allclose(cut.last_layer.kernel, (steps.astype(np.float32) - 3) * 0.02, rtol=1e-6)


@pytest.mark.parametrize("is_planes", [True, False])
def test_a_map_of_features_is_pooled_by_its_mean(is_planes: bool, pixels: np.ndarray) -> None:
    turn: list[Node] = [("Transpose", ["map"], "output", {"perm": [0, 2, 3, 1]})]
    model = make_graph(TRUNK[:2] if is_planes else [*TRUNK[:2], *turn], outputs=["map" if is_planes else "output"])
    cut = cut_graph(model)
    scaled = IMAGENET.apply(pixels)
    expected = compute(model, "map", scaled).mean(axis=(2, 3))
    assert cut.last_layer is None
    np.testing.assert_allclose(cut.run(scaled), expected, atol=1e-6)
    np.testing.assert_allclose(wrap_and_run(cut, pixels), expected, atol=1e-6)


def test_a_network_without_a_last_layer_is_cut_before_its_softmax() -> None:
    squeezed: list[Node] = [*TRUNK, ("Flatten", ["mean"], "flat", {}), ("Softmax", ["flat"], "output", {})]
    assert cut_graph(make_graph(squeezed)).features_tensor == "flat"


def test_the_graph_is_cut_at_a_named_tensor(pixels: np.ndarray) -> None:
    model = make_graph([*TRUNK, *GEMM], outputs=["output", "map"])
    scaled = IMAGENET.apply(pixels)
    np.testing.assert_allclose(cut_graph(model, "logits").run(scaled), compute(model, "logits", scaled), atol=1e-5)
    assert cut_graph(model, "map").run(scaled).shape == (3, WIDTH)


@pytest.mark.parametrize("shape", [[1, -1], [1, WIDTH]], ids=str)
def test_constant_shapes_for_one_image_follow_the_batch(shape: list[int], pixels: np.ndarray) -> None:
    model = make_graph([*TRUNK, reshape("mean", "flat", shape), *GEMM[1:]], ONE, constants=SHAPES)
    scaled = IMAGENET.apply(pixels)
    np.testing.assert_allclose(cut_graph(model).run(scaled), compute(model, "flat", scaled), atol=1e-6)


def test_half_precision_and_bytes_are_supported(pixels: np.ndarray) -> None:
    half = cut_graph(make_graph([*TRUNK, *GEMM], dtype=np.float16))
    full = cut_graph(make_graph([*TRUNK, *GEMM]))
    np.testing.assert_allclose(wrap_and_run(half, pixels), wrap_and_run(full, pixels), atol=0.02)
    floats: list[Node] = [("Cast", ["planes"], "cast", {"to": TensorProto.FLOAT}), ("Flatten", ["cast"], "output", {})]
    of_bytes = cut_graph(make_graph(floats, dtype=np.uint8))
    np.testing.assert_array_equal(of_bytes.run(RAW.apply(pixels)), pixels.transpose(0, 3, 1, 2).reshape(3, -1))


def test_a_network_of_any_size_gets_224() -> None:
    graph_input = cut_graph(make_graph([*TRUNK, *GEMM], ["n", 3, "height", "width"])).input
    assert (graph_input.size, graph_input.is_size_free, graph_input.is_batch_free) == (224, True, True)


def test_the_same_graph_gives_the_same_bytes_whatever_the_order_of_its_nodes() -> None:
    apart: list[Node] = [
        TRUNK[0],
        ("Relu", ["convolved"], "left", {}),
        ("Abs", ["convolved"], "right", {}),
        ("Concat", ["left", "right"], "output", {"axis": 1}),
    ]
    first, second = (cut_graph(make_graph(nodes)) for nodes in (apart, [apart[0], apart[2], apart[1], apart[3]]))
    assert first.bare.SerializeToString(deterministic=True) == second.bare.SerializeToString(deterministic=True)


def test_weights_that_are_also_inputs_as_in_old_files_stay_weights(pixels: np.ndarray) -> None:
    model = make_graph([*TRUNK, *GEMM])
    expected = cut_graph(model).run(IMAGENET.apply(pixels))
    for weight in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    model.ir_version = 3
    np.testing.assert_array_equal(wrap_and_run(cut_graph(model), pixels), expected)


def test_a_graph_with_graphs_within_is_cut_too(pixels: np.ndarray) -> None:
    branches = {}
    for name, operation in (("then_branch", "Relu"), ("else_branch", "Abs")):
        node = helper.make_node(operation, ["planes"], [name])
        branches[name] = helper.make_graph([node], name, [], [helper.make_empty_tensor_value_info(name)])
    nodes: list[Node] = [
        ("If", ["yes"], "chosen", branches),
        ("Conv", ["chosen", "filters"], "convolved", TRUNK[0][3]),
        *TRUNK[1:],
        *GEMM,
    ]
    model = make_graph(nodes, constants={"yes": np.asarray(True)})
    expected = compute(model, "flat", IMAGENET.apply(pixels))
    np.testing.assert_allclose(cut_graph(model).run(IMAGENET.apply(pixels)), expected, atol=1e-6)
    np.testing.assert_allclose(wrap_and_run(cut_graph(model), pixels), expected, atol=1e-5)


REJECTED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a detector": (
        lambda: make_graph([*TRUNK, BOXES, *GEMM], outputs=["boxes", "output"], constants=SHAPES),
        r"2 outputs \(boxes \[n, 4, 7, 7\], output \[n, 5\]\): set DAYLIGHT_FEATURES_TENSOR to",
    ),
    "an export of all hidden states": (
        lambda: make_graph([*TRUNK, *GEMM], outputs=["convolved", "map", "mean", "flat", "logits"]),
        r"5 outputs \(convolved \[n, 8, 7, 7\], .*set DAYLIGHT_FEATURES_TENSOR to",
    ),
    "a fixed batch of 3": (
        lambda: make_graph([*TRUNK, *GEMM], [3, *PLANES[1:]]),
        r"exactly 3 images at once \(its input planes is float32 \[3, 3, 16, 16\]\): export it with a free batch",
    ),
    "one channel": (
        lambda: make_graph(TRUNK[1:], ["n", 1, SIZE, SIZE]),
        r"takes 1 channel .* images have 3: .*\(RGB\)",
    ),
    "four channels": (lambda: make_graph(TRUNK, ["n", SIZE, SIZE, 4]), "takes 4 channels"),
    "sixteen channels": (lambda: make_graph(TRUNK, ["n", 16, SIZE, SIZE]), "no dimension of 3 channels"),
    "no size that hubs use": (
        lambda: make_graph(
            [*TRUNK[:2], reshape("map", "output", [0, WIDTH, 49])], ["n", 3, "h", "w"], constants=SHAPES
        ),
        "cannot be run by ONNX Runtime",
    ),
    "channels first or last": (lambda: make_graph(TRUNK, ["n", 3, 3, 3]), "has ambiguous channels"),
    "no square": (lambda: make_graph(TRUNK, ["n", 3, 16, 32]), r"not square .*\[n, 3, 16, 32\]"),
    "rows": (lambda: make_graph(TRUNK, ["n", 48]), r"no batch of images .*\[n, 48\]"),
    "whole numbers": (lambda: make_graph(TRUNK, dtype=np.int64), "planes is int64"),
    "an old opset": (lambda: make_graph(TRUNK, outputs=["mean"], opset=6), "opset 6 of ONNX"),
    "tokens": (
        lambda: make_graph([*TRUNK[:2], reshape("map", "output", [0, WIDTH, 49])], constants=SHAPES),
        r"gives \[n, 8, 49\] at output, which cannot be pooled",
    ),
    "a cube": (
        lambda: make_graph([*TRUNK[:2], ("Slice", ["map", "zero", "seven", "one"], "output", {})], constants=SHAPES),
        r"gives \[n, 7, 7, 7\] at output, whose channels are ambiguous",
    ),
    "a class": (
        lambda: make_graph([*TRUNK, *GEMM[:2], ("ArgMax", ["logits"], "output", {"axis": 1})]),
        "gives int64 at output, not floats",
    ),
    "a batch within": (
        lambda: make_graph([*TRUNK, ("Concat", ["mean", "token"], "output", {"axis": 1})], ONE, constants=SHAPES),
        "takes one image at a time .*: export it with a free batch",
    ),
    "a batch within, though it says n": (
        lambda: make_graph([*TRUNK, reshape("mean", "flat", [1, WIDTH]), *GEMM[1:]], constants=SHAPES),
        "declares a free batch but does not support one",
    ),
    "images that affect each other": (
        lambda: make_graph([*TRUNK, MEAN_OF_ALL, ("Sub", ["mean", "mean_of_all"], "output", {})]),
        "beside another image than alone",
    ),
    "no numbers": (
        lambda: make_graph([*TRUNK, ("Log", ["planes"], "log", {}), ("GlobalAveragePool", ["log"], "output", {})]),
        "features that are not finite",
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_graph_that_is_not_from_images_to_features_is_rejected(name: str) -> None:
    make, reason = REJECTED[name]
    with pytest.raises(GraphError, match=reason):
        cut_graph(make())


def test_two_inputs_are_rejected_with_their_names_and_shapes() -> None:
    model = make_graph([*TRUNK, *GEMM])
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 7]))
    with pytest.raises(GraphError, match=r"2 inputs \(planes \[n, 3, 16, 16\], mask \[n, 7\]\)"):
        cut_graph(model)


def test_an_unknown_tensor_is_rejected_with_a_list_of_candidates() -> None:
    with pytest.raises(GraphError, match=r"no tensor 'pool5' .*such as output, flat"):
        cut_graph(make_graph([*TRUNK, *GEMM]), "pool5")
