"""Quantization: int8 sees nearly what fp32 sees, is smaller, keeps the contract, and is the same every time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SIZE, MakePhoto
from onnx import TensorProto, helper, numpy_helper

from pipeline.backbone import Backbone, load_backbone, open_backbone
from pipeline.networks.export import export_backbone
from pipeline.networks.known_photos import decode_known_photos, load_known_photos
from pipeline.networks.parity import compare_features
from pipeline.networks.pretrained import Pretrained, PretrainedError
from pipeline.networks.quantization import quantize_backbone

CHANNELS = 64


def make_convolutions() -> onnx.ModelProto:
    """Two random convolutions, a normalisation apart from its own, and the mean over the picture."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(0, 0.3, (CHANNELS, 3, 3, 3)),
        "factor": random.uniform(0.5, 2, (CHANNELS, 1, 1)),
        "second": random.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["planes", "first"], ["a"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Mul", ["a", "factor"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "second"], ["d"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("g", TensorProto.FLOAT, ["n", CHANNELS])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def fp32(tiny_pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    pretrained = replace(tiny_pretrained, name="convolutions", convert=make_convolutions)
    return open_backbone(export_backbone(pretrained, tmp_path_factory.mktemp("fp32")))


@pytest.fixture(scope="module")
def pictures(make_photo: MakePhoto) -> list[bytes]:
    noise = [make_photo(colour, seed) for colour in ("red", "green", "blue") for seed in range(4)]
    return [*noise, *(photo.content for photo in load_known_photos())]


@pytest.fixture(scope="module")
def int8(fp32: Backbone, pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(quantize_backbone(fp32, pictures, tmp_path_factory.mktemp("int8")))


def test_int8_gives_nearly_the_same_features(fp32: Backbone, int8: Backbone) -> None:
    pixels = decode_known_photos(SIZE)
    parity = compare_features(load_backbone(fp32.path)(pixels), load_backbone(int8.path)(pixels))
    assert parity.max_abs_difference > 0
    assert parity.smallest_cosine > 0.995


def test_int8_keeps_the_contract_and_says_what_it_is(fp32: Backbone, int8: Backbone) -> None:
    assert (int8.name, int8.size, int8.dimension) == (fp32.name, fp32.size, fp32.dimension)
    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    said = {entry.key: entry.value for entry in onnx.load(int8.path).metadata_props}
    assert said["fp32"] == fp32.digest
    assert said["calibration"].startswith("22 pictures")
    assert said["origin"] == "tests"


def test_weights_are_bytes_and_normalisation_is_folded_into_its_convolution(int8: Backbone) -> None:
    graph = onnx.load(int8.path).graph
    kernels = [tensor for tensor in graph.initializer if len(tensor.dims) == 4]
    assert [tensor.data_type for tensor in kernels] == [TensorProto.INT8] * 2
    assert [node.op_type for node in graph.node].count("Mul") == 1, "the scaling of pixels, and no other"


def test_pixels_are_scaled_in_float(int8: Backbone) -> None:
    operations = [node.op_type for node in onnx.load(int8.path).graph.node if node.op_type != "DequantizeLinear"]
    assert operations[:4] == ["Transpose", "Cast", "Mul", "QuantizeLinear"]


def test_the_same_pictures_give_the_same_bytes(
    fp32: Backbone, int8: Backbone, pictures: list[bytes], tmp_path: Path
) -> None:
    assert open_backbone(quantize_backbone(fp32, pictures, tmp_path)).digest == int8.digest


def test_pictures_that_cannot_be_decoded_are_left_out(fp32: Backbone, pictures: list[bytes], tmp_path: Path) -> None:
    backbone = open_backbone(quantize_backbone(fp32, [b"", *pictures[:9], b"no picture"], tmp_path))
    said = {entry.key: entry.value for entry in onnx.load(backbone.path).metadata_props}
    assert said["calibration"].startswith("9 pictures")


def test_without_any_picture_there_is_no_int8(fp32: Backbone, tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="int8 of convolutions cannot be calibrated: none of 1 pictures"):
        quantize_backbone(fp32, [b"no picture"], tmp_path)


def test_quantizing_prints_nothing(
    fp32: Backbone, pictures: list[bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize_backbone(fp32, pictures[:8], tmp_path)
    assert capfd.readouterr() == ("", "")
