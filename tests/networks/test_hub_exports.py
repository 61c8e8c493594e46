"""Exports of hubs: each shape is taken with the features of the file that was handed in, or refused in one sentence."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import hub_exports as hub
import numpy as np
import onnx
import onnxruntime
import pytest
from hub_exports import ANY, PLANES, SIZE
from onnx import helper

from pipeline.networks.graph import wrap_graph
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.own.open_network import identify_own_network, open_own_network
from pipeline.networks.pixel_scaling import CLIP, IMAGENET, RAW, SYMMETRIC, PixelScaling, parse_scaling
from pipeline.networks.pretrained import Pretrained, PretrainedError

FREE = ["batch", 3, "height", "width"]
ONE = [1, 3, SIZE, SIZE]
TOKENS = "last_hidden_state"
BOTH = [f"{TOKENS}:cls", f"{TOKENS}:mean"]


class Taken(NamedTuple):
    """A graph, the tensor with its features and what is done with their values, and the readings it leaves open."""

    make: Callable[[], onnx.ModelProto]
    tensor: str
    read: Callable[[np.ndarray], np.ndarray] = lambda value: value.reshape(len(value), -1)
    readings: list[str] | None = None
    size: int = SIZE
    rounding: float = 1e-5  # of the largest feature
    stated: Mapping[str, object] | None = None  # preprocessor_config.json beside the graph


HALF_ROUNDING = 2e-3  # of what the file itself computes; the backbone computes in float32
CLIP_MEAN, CLIP_DEVIATION = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HUGGING_FACE: dict[str, object] = {
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "rescale_factor": 1 / 255,
    "size": {"height": SIZE, "width": SIZE},
}


def patches(prefix: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda value: value[:, prefix:].mean(axis=1)


def cls(value: np.ndarray) -> np.ndarray:
    return value[:, 0]


TAKEN: dict[str, Taken] = {
    "timm, a convolutional classifier": Taken(hub.convolutional, "features"),
    "timm, num_classes=0": Taken(lambda: hub.convolutional(end="features"), "features"),
    "timm, global_pool=''": Taken(lambda: hub.convolutional(end="map"), "map", lambda map_: map_.mean(axis=(2, 3))),
    "timm, a transformer": Taken(lambda: hub.transformer(1), TOKENS, cls, BOTH),
    "timm, a transformer with registers": Taken(lambda: hub.transformer(5), TOKENS, cls, BOTH),
    "timm, a distilled transformer": Taken(lambda: hub.transformer(2), TOKENS, cls, BOTH),
    "timm, SigLIP or Swin": Taken(lambda: hub.transformer(0), TOKENS, patches(0), [f"{TOKENS}:mean"]),
    "torchvision, batch of one": Taken(lambda: hub.convolutional(ONE), "features"),
    "torchvision, the newest opset": Taken(lambda: hub.convolutional(opset=26, ir_version=13), "features"),
    "torchvision, functions": Taken(hub.of_functions, "features"),
    "torchvision, any size": Taken(lambda: hub.convolutional(FREE), "features", size=224),
    "a file of 2018": Taken(hub.with_weights_as_inputs, "features"),
    "Hugging Face, ViT": Taken(
        lambda: hub.transformer(1, ANY, [TOKENS, "pooler_output"]),
        "pooler_output",
        readings=["pooler_output", *BOTH],
        stated=HUGGING_FACE,
    ),
    "Hugging Face, CLIP's vision tower": Taken(
        lambda: hub.transformer(1, ANY, ["image_embeds", TOKENS]),
        "pooled",
        readings=["pooled", *BOTH],
        stated=HUGGING_FACE | {"image_mean": CLIP_MEAN, "image_std": CLIP_DEVIATION},
    ),
    "Hugging Face, a classifier": Taken(lambda: hub.transformer(1, ANY, ["logits"]), TOKENS, cls, stated=HUGGING_FACE),
    "Hugging Face, ResNet": Taken(
        hub.residual, "pooler_output", readings=["pooler_output", "last_hidden_state"], stated=HUGGING_FACE
    ),
    "optimum, half precision": Taken(lambda: hub.half(is_inside=False), "features", rounding=HALF_ROUNDING),
    "optimum, half precision inside": Taken(lambda: hub.half(is_inside=True), "features", rounding=HALF_ROUNDING),
    "optimum, quantized": Taken(hub.quantised, "features"),
    "Keras, a classifier": Taken(lambda: hub.channels_last("predictions"), "features"),
    "Keras, a map": Taken(lambda: hub.channels_last("map"), "map", lambda map_: map_.mean(axis=(1, 2))),
    "bytes": Taken(hub.of_bytes, "features"),
}


def compute(model: onnx.ModelProto, tensor: str, pixels: np.ndarray, size: int) -> np.ndarray:
    """The value of a tensor of the whole file as ONNX Runtime gives it, image by image."""
    del model.graph.output[:]
    model.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (graph_input,) = [each for each in session.get_inputs() if not each.name.startswith("constant")]
    dtype = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(graph_input.type, np.float32)
    planes = pixels if graph_input.shape[3] == 3 else pixels.transpose(0, 3, 1, 2)
    images = planes.astype(dtype)
    rows = [session.run(None, {graph_input.name: images[row : row + 1]})[0] for row in range(len(images))]
    return np.concatenate(rows).astype(np.float32)


def embed_as_exported(pretrained: Pretrained, pixels: np.ndarray) -> np.ndarray:
    """The features that the backbone gives for a batch of bytes."""
    graph = wrap_graph(pretrained.convert(), pretrained.size, pretrained.scaling)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    features: np.ndarray = session.run(None, {"pixels": pixels})[0]
    return features


def save(model: onnx.ModelProto, folder: Path, stated: Mapping[str, object] | None = None) -> Path:
    if stated:
        (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("name", TAKEN)
def test_an_export_is_taken_with_the_features_of_its_file(name: str, tmp_path: Path) -> None:
    taken = TAKEN[name]
    path = save(taken.make(), tmp_path, taken.stated)
    pretrained = open_own_network(path)
    pixels = decode_known_photos(taken.size)
    expected = taken.read(compute(onnx.load(path), taken.tensor, pretrained.scaling.apply(pixels), taken.size))
    assert pretrained.size == taken.size
    assert taken.readings is None or list(pretrained.readings) == taken.readings
    allowed = taken.rounding * np.abs(expected).max()
    assert expected.std(axis=0).mean() > 10 * allowed, "or equality would prove nothing"
    actual = embed_as_exported(pretrained, pixels)
    np.testing.assert_allclose(actual, expected, atol=allowed, rtol=0)
    np.testing.assert_allclose(actual, pretrained.embed(pixels), atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_every_reading_can_be_chosen_by_its_name(tmp_path: Path) -> None:
    path = save(hub.transformer(5), tmp_path)
    pixels = decode_known_photos(SIZE)
    tokens = compute(onnx.load(path), TOKENS, IMAGENET.apply(pixels), SIZE)
    for name, expected in zip(BOTH, (cls(tokens), patches(5)(tokens)), strict=True):
        pretrained = open_own_network(path, name)
        assert (pretrained.readings, pretrained.provenance["features_tensor"]) == ((name,), name)
        np.testing.assert_allclose(embed_as_exported(pretrained, pixels), expected, atol=1e-5)
    assert list(open_own_network(path, TOKENS).readings) == BOTH
    with pytest.raises(PretrainedError, match="gives no tokens with cls at last_hidden_state"):
        open_own_network(save(hub.transformer(0), tmp_path), BOTH[0])


def test_weights_in_the_same_folder_are_read_and_determine_the_network(tmp_path: Path) -> None:
    inside = open_own_network(save(hub.convolutional(), tmp_path))
    path = tmp_path / "beside.onnx"
    onnx.save(hub.convolutional(), path, save_as_external_data=True, location="beside.onnx.data", size_threshold=0)
    pretrained, identity = open_own_network(path), identify_own_network(path)
    assert pretrained.convert().SerializeToString() == inside.convert().SerializeToString()
    data = tmp_path / "beside.onnx.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\0")
    assert identify_own_network(path) != identity
    assert open_own_network(path).provenance["weights_sha256"] != pretrained.provenance["weights_sha256"]


@pytest.mark.parametrize(
    ("file", "stated", "scaling"),
    [
        ("preprocessor_config.json", HUGGING_FACE, SYMMETRIC),
        ("preprocessor_config.json", HUGGING_FACE | {"image_mean": CLIP_MEAN, "image_std": CLIP_DEVIATION}, CLIP),
        ("preprocessor_config.json", HUGGING_FACE | {"do_normalize": False, "do_rescale": False}, RAW),
        ("config.json", {"pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}, IMAGENET),
    ],
)
def test_what_a_hub_says_about_pixels_is_believed(
    file: str, stated: dict[str, object], scaling: PixelScaling, tmp_path: Path
) -> None:
    path = save(hub.convolutional(), tmp_path)
    before = identify_own_network(path)
    (tmp_path / file).write_text(json.dumps(stated))
    pretrained = open_own_network(path)
    assert pretrained.scaling == scaling
    assert pretrained.provenance["scaling"] == f"{scaling.name} (as {file} says)"
    assert identify_own_network(path) != before
    assert open_own_network(path, scaling_name="unit").provenance["scaling"] == "unit (as set)"


def test_another_json_beside_a_network_says_nothing(tmp_path: Path) -> None:
    path = save(hub.convolutional(), tmp_path)
    for text in ('{"architectures": ["ResNet"]}', "[1, 2]"):
        (tmp_path / "config.json").write_text(text)
        assert open_own_network(path).provenance["scaling"].startswith("imagenet (assumed")


def test_any_mean_and_deviation_can_be_set(tmp_path: Path) -> None:
    path = save(hub.convolutional(), tmp_path)
    pixels = decode_known_photos(SIZE)
    means, deviations = np.float32([0.1, 0.2, 0.3]), np.float32([0.4, 0.5, 0.6])
    pretrained = open_own_network(path, scaling_name="mean 0.1 0.2 0.3 deviation 0.4, 0.5, 0.6")
    expected = compute(onnx.load(path), "features", (pixels / np.float32(255) - means) / deviations, SIZE)
    np.testing.assert_allclose(embed_as_exported(pretrained, pixels).ravel(), expected.ravel(), rtol=1e-4, atol=1e-5)
    assert parse_scaling("mean 0.5 deviation 0.5").scale == pytest.approx(SYMMETRIC.scale)
    for text in ("mean 0.5 0.5 deviation 0.5", "mean 0.5 deviation 0", "0.5", "mean a deviation b"):
        with pytest.raises(ValueError, match=r"no pixel scaling: write one of raw, unit, .*or text such as 'mean"):
            parse_scaling(text)


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "CLIP as a whole": (hub.of_two_towers, "has 2 inputs .*input_ids.*: export it with one, for images"),
    "a detector": (hub.detector, r"has 2 outputs \(.*: set DAYLIGHT_FEATURES_TENSOR to"),
    "a batch of eight": (lambda: hub.convolutional([8, *PLANES[1:]]), "takes exactly 8 images at once"),
    "grey images": (lambda: hub.convolutional(["n", 1, SIZE, SIZE]), "takes 1 channel .*export it with 3 channels"),
    "a video": (hub.of_videos, "takes no batch of images"),
    "another size than hubs use": (lambda: hub.transformer(1, ANY), "cannot be run by ONNX Runtime"),
    "an opset to come": (lambda: hub.convolutional(opset=28), "cannot be opened by ONNX Runtime"),
    "an opset of 2016": (lambda: hub.convolutional(opset=6), "uses opset 6 of ONNX"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_export_that_cannot_be_taken_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    path = save(make(), tmp_path)
    with pytest.raises(PretrainedError, match=reason) as caught:
        open_own_network(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400
