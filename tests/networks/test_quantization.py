"""Quantization: int8 has nearly the features of fp32, keeps the contract, and is the same every time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SIZE, MakePhoto
from convolutions import make_channels_last, make_convolutions
from onnx import TensorProto

from pipeline.embed import int8_support as processor
from pipeline.embed.backbone import Backbone, BackboneError, embed_with, load_backbone, open_backbone, open_session
from pipeline.networks.export import export_backbone
from pipeline.networks.int8.quantization import QuantizationError, quantize_backbone
from pipeline.networks.int8.row_scaling import scale_in_rows
from pipeline.networks.known_photos import decode_known_photos, load_known_photos
from pipeline.networks.parity import compare_features
from pipeline.networks.pixel_scaling import CAFFE, CLIP, IMAGENET, RAW, SCALINGS, SYMMETRIC, UNIT, PixelScaling
from pipeline.networks.pretrained import Pretrained


@pytest.fixture(scope="module")
def fp32(tiny_pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    pretrained = replace(tiny_pretrained, name="convolutions", convert=make_convolutions)
    return open_backbone(export_backbone(pretrained, tmp_path_factory.mktemp("fp32")))


@pytest.fixture(scope="module")
def images(make_photo: MakePhoto) -> list[bytes]:
    noise = [make_photo(colour, seed) for colour in ("red", "green", "blue") for seed in range(4)]
    return [*noise, *(photo.content for photo in load_known_photos())]


@pytest.fixture(scope="module")
def int8(fp32: Backbone, images: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(quantize_backbone(fp32, images, tmp_path_factory.mktemp("int8")))


def test_int8_gives_nearly_the_same_features(fp32: Backbone, int8: Backbone) -> None:
    pixels = decode_known_photos(SIZE)
    parity = compare_features(load_backbone(fp32.path)(pixels), load_backbone(int8.path)(pixels))
    assert parity.max_abs_difference > 0
    assert parity.smallest_cosine > 0.995


def test_int8_keeps_the_contract_and_describes_itself(fp32: Backbone, int8: Backbone) -> None:
    assert (int8.name, int8.size, int8.dimension) == (fp32.name, fp32.size, fp32.dimension)
    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    metadata = {entry.key: entry.value for entry in onnx.load(int8.path).metadata_props}
    assert metadata["fp32"] == fp32.digest
    assert metadata["calibration"].startswith("22 pictures")
    assert metadata["origin"] == "tests"


def test_weights_are_bytes_and_normalisation_is_folded_into_its_convolution(int8: Backbone) -> None:
    graph = onnx.load(int8.path).graph
    kernels = [tensor for tensor in graph.initializer if len(tensor.dims) == 4]
    assert [tensor.data_type for tensor in kernels] == [TensorProto.INT8] * 2
    assert "Mul" not in {node.op_type for node in graph.node}


@pytest.fixture(scope="module")
def scaled_by_channel(
    tiny_pretrained: Pretrained, images: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> Backbone:
    """An int8 backbone whose channels are scaled differently."""
    pretrained = replace(tiny_pretrained, scaling=IMAGENET, convert=make_convolutions)
    folder = tmp_path_factory.mktemp("scaled_by_channel")
    return open_backbone(quantize_backbone(open_backbone(export_backbone(pretrained, folder)), images, folder))


def test_channels_scaled_apart_are_scaled_by_rows_before_the_transpose(
    scaled_by_channel: Backbone,
) -> None:
    operations = [
        node.op_type for node in onnx.load(scaled_by_channel.path).graph.node if node.op_type != "DequantizeLinear"
    ]
    assert operations[:7] == ["Reshape", "Cast", "Mul", "Add", "Reshape", "Transpose", "QuantizeLinear"]


def test_a_whole_row_is_scaled_at_a_time_and_not_three_numbers(scaled_by_channel: Backbone) -> None:
    graph = onnx.load(scaled_by_channel.path).graph
    (scaling,) = [node for node in graph.node if node.op_type == "Mul"]
    (factors,) = [tensor for tensor in graph.initializer if tensor.name in scaling.input]
    assert list(factors.dims) == [3 * SIZE]


@pytest.mark.parametrize("make", [make_convolutions, make_channels_last])
@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
def test_scaling_by_rows_changes_no_bit_of_any_feature(
    make: Callable[[], onnx.ModelProto], scaling: PixelScaling, tiny_pretrained: Pretrained, tmp_path: Path
) -> None:
    path = export_backbone(replace(tiny_pretrained, scaling=scaling, convert=make), tmp_path)
    model = onnx.load(path)
    features = load_backbone(str(path))(decode_known_photos(SIZE))
    moved = scale_in_rows(onnx.load(path), SIZE)
    onnx.checker.check_model(moved, full_check=True)
    assert (moved != model) == (make is make_convolutions and scaling in (UNIT, SYMMETRIC, IMAGENET, CLIP))
    np.testing.assert_array_equal(
        embed_with(open_session(moved.SerializeToString()))(decode_known_photos(SIZE)), features
    )


@pytest.mark.parametrize("make", [make_convolutions, make_channels_last])
@pytest.mark.parametrize("scaling", [RAW, CAFFE, IMAGENET], ids=lambda scaling: scaling.name)
def test_int8_has_nearly_the_features_of_fp32_with_any_scaling(
    make: Callable[[], onnx.ModelProto],
    scaling: PixelScaling,
    tiny_pretrained: Pretrained,
    images: list[bytes],
    tmp_path: Path,
) -> None:
    exact = open_backbone(export_backbone(replace(tiny_pretrained, scaling=scaling, convert=make), tmp_path))
    rounded = open_backbone(quantize_backbone(exact, images, tmp_path))
    pixels = decode_known_photos(SIZE)
    parity = compare_features(load_backbone(exact.path)(pixels), load_backbone(rounded.path)(pixels))
    assert parity.smallest_cosine > 0.995


def test_a_worker_without_dot_products_rejects_int8_and_runs_fp32(
    fp32: Backbone, images: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = open_backbone(quantize_backbone(fp32, images[:9], tmp_path))
    (tmp_path / "cpuinfo").write_text("model name\t: Old Xeon\nflags\t\t: fpu sse2 avx2\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    with pytest.raises(
        BackboneError, match=r"this processor \(Old Xeon\) has no 8-bit dot products .* set DAYLIGHT_PRECISION="
    ):
        load_backbone(rounded.path)
    load_backbone.__wrapped__(fp32.path)


def test_a_graph_that_the_quantizer_rejects_is_one_sentence(fp32: Backbone, tmp_path: Path) -> None:
    """ONNX Runtime rejects it, because the file changed after it was described."""
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(Path(fp32.path).read_bytes())
    changed = replace(fp32, path=str(damaged), size=SIZE + 1)
    with pytest.raises(QuantizationError, match="int8 of convolutions cannot be made: ") as caught:
        quantize_backbone(changed, [photo.content for photo in load_known_photos()], tmp_path)
    assert "\n" not in str(caught.value)


def test_the_same_images_give_the_same_bytes(
    fp32: Backbone, int8: Backbone, images: list[bytes], tmp_path: Path
) -> None:
    assert open_backbone(quantize_backbone(fp32, images, tmp_path)).digest == int8.digest


def test_images_that_cannot_be_decoded_are_left_out(fp32: Backbone, images: list[bytes], tmp_path: Path) -> None:
    backbone = open_backbone(quantize_backbone(fp32, [b"", *images[:9], b"no image"], tmp_path))
    metadata = {entry.key: entry.value for entry in onnx.load(backbone.path).metadata_props}
    assert metadata["calibration"].startswith("9 pictures")


def test_the_first_convolution_of_most_networks_reads_cells(
    tiny_pretrained: Pretrained, images: list[bytes], tmp_path: Path
) -> None:
    network = replace(tiny_pretrained, scaling=SYMMETRIC, convert=lambda: make_convolutions(3, (0, 0, 1, 1)))
    exact = open_backbone(export_backbone(network, tmp_path))
    rounded = open_backbone(quantize_backbone(exact, images, tmp_path))
    first = next(node for node in onnx.load(rounded.path).graph.node if node.op_type == "Conv")
    assert [list(each.ints) for each in first.attribute if each.name == "strides"] == [[2, 1]]
    pixels = decode_known_photos(SIZE)
    parity = compare_features(load_backbone(exact.path)(pixels), load_backbone(rounded.path)(pixels))
    assert parity.smallest_cosine > 0.995


def test_without_any_image_there_is_no_int8(fp32: Backbone, tmp_path: Path) -> None:
    with pytest.raises(
        QuantizationError, match="int8 of convolutions cannot be calibrated: none of 1 images can be decoded"
    ):
        quantize_backbone(fp32, [b"no image"], tmp_path)


def test_quantizing_prints_nothing(
    fp32: Backbone, images: list[bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize_backbone(fp32, images[:8], tmp_path)
    assert capfd.readouterr() == ("", "")
