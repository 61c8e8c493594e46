"""Quantized pixels: if channels are scaled alike, an int8 graph takes every byte as its own quantized value."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SIZE, MakePhoto
from convolutions import make_channels_last, make_convolutions
from onnx import numpy_helper

from pipeline.embed.backbone import Backbone, embed_with, load_backbone, open_backbone, open_session
from pipeline.networks.export import export_backbone
from pipeline.networks.int8.quantization import quantize_backbone
from pipeline.networks.int8.quantized_pixels import align_zero_point, find_quantization
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.parity import compare_features
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, UNIT, PixelScaling
from pipeline.networks.pretrained import Pretrained

NEGATIVE = PixelScaling("negative", (-1 / 255,) * 3, (1.0,) * 3)
NEVER_ZERO = PixelScaling("never zero", (1 / 255,) * 3, (1.0,) * 3)

Export = Callable[..., Backbone]


@pytest.fixture
def export(tiny_pretrained: Pretrained, tmp_path: Path) -> Export:
    """Stores the convolutions, or another network, with a scaling of pixels."""

    def run(scaling: PixelScaling, make: Callable[[], onnx.ModelProto] = make_convolutions) -> Backbone:
        return open_backbone(export_backbone(replace(tiny_pretrained, scaling=scaling, convert=make), tmp_path))

    return run


def test_a_grey_level_is_its_own_quantized_value(export: Export) -> None:
    unit = find_quantization(onnx.load(export(UNIT).path))
    assert unit is not None
    assert (unit.scale, unit.zero_point, unit.residual) == (np.float32(1 / 255), 0, 0)
    symmetric = find_quantization(onnx.load(export(SYMMETRIC).path))
    assert symmetric is not None
    assert symmetric.scale == np.float32(1 / 127.5)
    assert symmetric.zero_point in (127, 128)
    assert abs(symmetric.residual) == pytest.approx(0.5 / 127.5, rel=1e-4)


@pytest.mark.parametrize("scaling", [RAW, CAFFE, IMAGENET, NEGATIVE, NEVER_ZERO], ids=lambda scaling: scaling.name)
def test_channels_not_scaled_alike_onto_grey_levels_are_scaled_as_before(scaling: PixelScaling, export: Export) -> None:
    assert find_quantization(onnx.load(export(scaling).path)) is None


def test_a_network_that_does_not_begin_with_a_convolution_is_scaled_as_before(
    export: Export, tiny_backbone: Backbone
) -> None:
    assert find_quantization(onnx.load(export(SYMMETRIC, make_channels_last).path)) is None
    assert find_quantization(onnx.load(tiny_backbone.path)) is None


@pytest.mark.parametrize("has_bias", [False, True], ids=["no bias", "a bias"])
def test_the_offset_moves_into_the_bias_without_changing_features(has_bias: bool, export: Export) -> None:
    """Equal to seven digits, the precision of a float, because nothing is padded."""
    backbone = export(SYMMETRIC, lambda: make_convolutions(has_bias=has_bias))
    model = onnx.load(backbone.path)
    pixels = find_quantization(model)
    assert pixels
    moved = align_zero_point(model, pixels)
    onnx.checker.check_model(moved, full_check=True)
    photos = decode_known_photos(SIZE)
    expected = load_backbone(backbone.path)(photos)
    np.testing.assert_allclose(
        embed_with(open_session(moved.SerializeToString()))(photos), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("scaling", [UNIT, SYMMETRIC], ids=lambda scaling: scaling.name)
def test_images_without_black_and_white_keep_every_grey_level_distinct(
    scaling: PixelScaling, export: Export, make_photo: MakePhoto, tmp_path: Path
) -> None:
    """Later layers are still calibrated poorly on green images."""
    exact = export(scaling, lambda: make_convolutions(3, (1, 1, 1, 1)))
    images = [make_photo("green", seed) for seed in range(9)]
    rounded = open_backbone(quantize_backbone(exact, images, tmp_path))
    graph = onnx.load(rounded.path).graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    assert constants["scaled_scale"] == np.float32(scaling.scale[0])
    assert {node.op_type for node in graph.node}.isdisjoint({"Cast", "Mul"})
    pixels = decode_known_photos(SIZE)
    parity = compare_features(load_backbone(exact.path)(pixels), load_backbone(rounded.path)(pixels))
    assert parity.smallest_cosine > 0.98
