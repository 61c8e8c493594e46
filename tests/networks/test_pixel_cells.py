"""Pixel cells: the first convolution reads four pixels as one, and the features are bit-identical."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from conftest import SIZE
from convolutions import make_convolutions
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from pipeline.embed.backbone import embed_with, open_session
from pipeline.networks.export import export_backbone
from pipeline.networks.int8.pixel_cells import Reach, find_reach, put_in_cells
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import Pretrained

TENSORFLOW, TORCH, WIDE = (0, 0, 1, 1), (1, 1, 1, 1), (3, 3, 3, 3)
"""Padding at the top, left, bottom and right: TensorFlow's `same`, PyTorch's, and PyTorch's for 7 x 7 kernels."""

Quantize = Callable[..., onnx.ModelProto]


class KnownPhotos(CalibrationDataReader):
    """A single batch."""

    def __init__(self) -> None:
        self.batches = iter([{"pixels": decode_known_photos(SIZE)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


@pytest.fixture
def quantize(tiny_pretrained: Pretrained, tmp_path: Path) -> Quantize:
    """Quantizes a network without pixel cells."""

    def run(network: onnx.ModelProto, scaling: PixelScaling = IMAGENET) -> onnx.ModelProto:
        exported = export_backbone(replace(tiny_pretrained, scaling=scaling, convert=lambda: network), tmp_path)
        quantized = tmp_path / "quantized.onnx"
        quantize_static(
            exported,
            quantized,
            KnownPhotos(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantized)

    return run


def first_convolution(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Conv")


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def features(model: onnx.ModelProto) -> np.ndarray:
    return embed_with(open_session(model.SerializeToString()))(decode_known_photos(SIZE))


@pytest.mark.parametrize("has_bias", [False, True], ids=["no bias", "a bias"])
@pytest.mark.parametrize("scaling", [SYMMETRIC, IMAGENET, CAFFE], ids=lambda scaling: scaling.name)
@pytest.mark.parametrize(
    ("kernel", "pads", "reach"),
    [
        (3, TENSORFLOW, Reach(2, 0, 1, 0)),
        (3, TORCH, Reach(2, 1, 0, 3)),
        (5, (1, 1, 2, 2), Reach(3, 1, 1, 3)),
        (7, (2, 2, 3, 3), Reach(3, 1, 1, 2)),
        (7, WIDE, Reach(3, 1, 1, 1)),
    ],
)
def test_cells_change_no_bit_of_any_feature(
    kernel: int, pads: tuple[int, ...], reach: Reach, scaling: PixelScaling, has_bias: bool, quantize: Quantize
) -> None:
    quantized = quantize(make_convolutions(kernel, pads, has_bias), scaling)
    expected = features(quantized)
    in_cells = put_in_cells(quantized)
    onnx.checker.check_model(in_cells, full_check=True)
    found = attributes(first_convolution(in_cells))
    assert found["strides"] == [2, 1]
    assert found["kernel_shape"] == [kernel, reach.count]
    assert found["pads"] == [pads[0], reach.before, pads[2], reach.after]
    np.testing.assert_array_equal(features(in_cells), expected)


def test_onnx_runtime_removes_every_added_transpose(quantize: Quantize, tmp_path: Path) -> None:
    def count_transposes(model: onnx.ModelProto) -> int:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
        assert "QLinearConv" in {node.op_type for node in nodes}
        return sum(node.op_type == "Transpose" for node in nodes)

    quantized = quantize(make_convolutions(3, TENSORFLOW))
    before = count_transposes(quantized)
    assert count_transposes(put_in_cells(quantized)) == before


def change_first(network: onnx.ModelProto, **values: object) -> onnx.ModelProto:
    """Sets attributes of the first convolution; None removes one."""
    node = first_convolution(network)
    changed = attributes(node) | values
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in changed.items() if value is not None)
    return network


def read_pixels_twice(network: onnx.ModelProto) -> onnx.ModelProto:
    """Adds a second convolution that reads the same pixels."""
    first, *others = network.graph.node
    second = onnx.NodeProto()
    second.CopyFrom(first)
    first.output[0], second.output[0] = "left", "right"
    del network.graph.node[:]
    network.graph.node.extend([first, second, helper.make_node("Add", ["left", "right"], ["a"]), *others])
    return network


UNSUPPORTED = {
    "every pixel is convolved": lambda: change_first(make_convolutions(3, TORCH), strides=[1, 1]),
    "every fourth pixel is convolved": lambda: change_first(make_convolutions(4), strides=[4, 4]),
    "dilated": lambda: change_first(make_convolutions(3, TORCH), dilations=[2, 2]),
    "an odd number of outputs": lambda: make_convolutions(3),
    "automatic padding": lambda: change_first(make_convolutions(3), auto_pad="SAME_UPPER", pads=None),
    "pixels read twice": lambda: read_pixels_twice(make_convolutions(3, TORCH)),
}


@pytest.mark.parametrize("make", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_an_unsupported_first_convolution_is_left_unchanged(
    make: Callable[[], onnx.ModelProto], quantize: Quantize
) -> None:
    quantized = quantize(make())
    before = quantized.SerializeToString(deterministic=True)
    assert put_in_cells(quantized).SerializeToString(deterministic=True) == before


def test_a_float_graph_is_left_unchanged(tiny_pretrained: Pretrained, tmp_path: Path) -> None:
    network = replace(tiny_pretrained, convert=lambda: make_convolutions(3, TORCH))
    model = onnx.load(export_backbone(network, tmp_path))
    before = model.SerializeToString(deterministic=True)
    assert put_in_cells(model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(("kernel", "padding", "width"), [(3, (0, 1), 30), (3, (0, 0), 32), (3, (1, 1), 33)])
def test_rows_that_do_not_fill_their_cells_have_no_reach(kernel: int, padding: tuple[int, int], width: int) -> None:
    assert find_reach(kernel, padding, width) is None
