"""The catalogue: backbones by name, and for each of them how it is built and what is known about it.

A name is one word of configuration (`DAYLIGHT_BACKBONE`). What is not a name is the path of a user's own network.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.networks.efficientnet_lite import LITE0, LITE1, LITE2, Variant, build_network
from pipeline.networks.keras_applications import Application, load_application, preprocess
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.lite_weights import (
    LITE0_WEIGHTS,
    LITE1_WEIGHTS,
    LITE2_WEIGHTS,
    PublishedWeights,
    find_weights,
    read_weights,
    set_weights,
)
from pipeline.networks.own_network import identify_own_network, open_own_network
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import LastLayer, Pretrained, PretrainedError


@dataclass(frozen=True)
class Entry:
    """A backbone of the catalogue.

    Attributes:
        name: what `DAYLIGHT_BACKBONE` says.
        network: how it is built: one of Keras Applications, or an EfficientNet-Lite.
        size: side of the square pictures, in pixels.
        dimension: length of the feature vector.
        scaling: what it expects of its pixels.
        weights: where they come from: the package that carries them, or None for Keras's download.
        licence: of the weights.
        origin: who trained it on what.
    """

    name: str
    network: Application | Variant
    size: int
    dimension: int
    scaling: PixelScaling
    weights: PublishedWeights | None
    licence: str
    origin: str


RECIPE: Final = 1
"""To be counted up where this code would make another graph of the same network."""

_LITE_ORIGIN: Final = (
    "Google's EfficientNet-Lite trained on ImageNet-1k, ported to PyTorch by ML Illustrated, rebuilt in Keras"
)
_KERAS_LICENCES: Final = "github.com/keras-team/keras-applications, README, section License"


def _lite(variant: Variant, weights: PublishedWeights) -> Entry:
    return Entry(variant.name, variant, variant.size, 1280, SYMMETRIC, weights, "Apache-2.0", _LITE_ORIGIN)


def _keras(
    name: str, function: str, module: str, size: int, dimension: int, scaling: PixelScaling, licence: str, origin: str
) -> Entry:
    return Entry(name, Application(function, module), size, dimension, scaling, None, licence, origin)


CATALOGUE: Final[Mapping[str, Entry]] = {
    entry.name: entry
    for entry in (
        _lite(LITE0, LITE0_WEIGHTS),
        _lite(LITE1, LITE1_WEIGHTS),
        _lite(LITE2, LITE2_WEIGHTS),
        _keras(
            "resnet50", "ResNet50", "resnet50", 224, 2048, CAFFE,
            "MIT", "Kaiming He et al., ImageNet-1k, ported by Keras",
        ),
        _keras(
            "vgg19", "VGG19", "vgg19", 224, 512, CAFFE,
            "CC BY 4.0", "Visual Geometry Group, Oxford, ImageNet-1k, ported by Keras",
        ),
        _keras(
            "inception-v3", "InceptionV3", "inception_v3", 299, 2048, SYMMETRIC,
            "Apache-2.0", "Google, ImageNet-1k, by Keras",
        ),
        _keras(
            "mobilenet-v2", "MobileNetV2", "mobilenet_v2", 224, 1280, SYMMETRIC,
            "Apache-2.0", "Google, ImageNet-1k, by Keras",
        ),
        _keras(
            "mobilenet-v3-large", "MobileNetV3Large", "mobilenet_v3", 224, 960, RAW,
            "Apache-2.0", "Google, ImageNet-1k, by Keras",
        ),
        _keras(
            "efficientnet-b0", "EfficientNetB0", "efficientnet", 224, 1280, RAW,
            "Apache-2.0", "Google, ImageNet-1k, by Keras",
        ),
        _keras(
            "xception", "Xception", "xception", 299, 2048, SYMMETRIC,
            "MIT", "François Chollet, ImageNet-1k",
        ),
        _keras(
            "densenet121", "DenseNet121", "densenet", 224, 1024, IMAGENET,
            "BSD-3-Clause", "Gao Huang et al., ImageNet-1k, ported by Keras",
        ),
    )
}  # fmt: skip


def open_pretrained(
    backbone: str, weights: Path | None = None, features_tensor: str = "", scaling: str = ""
) -> Pretrained:
    """Opens the network that one word of configuration means.

    Args:
        backbone: a name of the catalogue, or the path of a user's own network.
        weights: a file that is used in the place of the entry's own weights, or a folder with `<name>.weights.h5`,
            `<name>.h5` or `<name>.pth` for some of the catalogue.
        features_tensor: of a user's own network: the tensor that holds the features.
        scaling: of a user's own network: a name of `pixel_scaling.SCALINGS`.

    Raises:
        PretrainedError: where there is no such network, or its weights cannot be had; the text says what to do.
    """
    if backbone in CATALOGUE:
        return load_entry(CATALOGUE[backbone], find_file(backbone, weights))
    return open_own_network(_path_of(backbone), features_tensor, scaling)


def identify_recipe(backbone: str, weights: Path | None = None, features_tensor: str = "", scaling: str = "") -> str:
    """All that decides which graph is made, as a text, told without building the network; arguments as above.

    Raises:
        PretrainedError: where there is no such network, or no such file of weights.
    """
    versions = [RECIPE, version("keras"), version("tf2onnx")]
    if backbone not in CATALOGUE:
        return json.dumps([identify_own_network(_path_of(backbone)), backbone, features_tensor, scaling, *versions])
    file, published = find_file(backbone, weights), CATALOGUE[backbone].weights
    if file:
        return json.dumps([backbone, hashlib.sha256(file.read_bytes()).hexdigest(), *versions])
    return json.dumps([backbone, published.sha256 if published else "downloaded", *versions])


def find_file(name: str, weights: Path | None) -> Path | None:
    """The user's weights of a backbone: the file itself, what a folder holds under the name, or None.

    Raises:
        PretrainedError: where there is neither a file nor a folder of that path.
    """
    if weights is None or weights.is_file():
        return weights
    if not weights.is_dir():
        raise PretrainedError(
            f"the weights {weights} do not exist: let DAYLIGHT_WEIGHTS name a file or a folder of them"
        )
    candidates = [weights / f"{name}{suffix}" for suffix in (".weights.h5", ".h5", ".pth")]
    return next((file for file in candidates if file.is_file()), None)


def _path_of(backbone: str) -> Path:
    if "/" in backbone or "." in backbone or Path(backbone).exists():
        return Path(backbone)
    raise PretrainedError(
        f"there is no backbone {backbone!r}: let DAYLIGHT_BACKBONE be one of {', '.join(CATALOGUE)},"
        " or the path of an .onnx, .keras or .tflite file or of a SavedModel folder"
    )


def load_entry(entry: Entry, weights: Path | None) -> Pretrained:
    """Builds the network of an entry in Keras and gives it its weights, or those of a user's file.

    Raises:
        PretrainedError: where the weights cannot be had or do not fit.
    """
    if isinstance(entry.network, Variant):
        return _load_lite(entry, entry.network, weights)
    application = entry.network
    loaded = load_application(application, entry.size, weights)
    return Pretrained(
        name=entry.name,
        size=entry.size,
        scaling=entry.scaling,
        embed=lambda pixels: np.asarray(loaded.network(preprocess(application, pixels), training=False)),
        convert=lambda: convert_network(loaded.network),
        last_layer=loaded.last_layer,
        provenance=_provenance(entry, loaded.weights, loaded.weights_sha256),
    )


def _load_lite(entry: Entry, variant: Variant, weights: Path | None) -> Pretrained:
    keras = import_keras()
    assert entry.weights is not None  # noqa: S101
    file = weights or find_weights(entry.weights)
    tensors = read_weights(file)
    network = build_network(variant)
    set_weights(network, tensors)
    embedder = keras.Model(network.inputs, network.output["features"])
    rescale = keras.layers.Rescaling(1 / 127.5, offset=-1.0)
    package = entry.weights.package
    source = weights.name if weights else f"{package} {version(package)}"
    return Pretrained(
        name=entry.name,
        size=entry.size,
        scaling=entry.scaling,
        embed=lambda pixels: np.asarray(embedder(rescale(pixels), training=False)),
        convert=lambda: convert_network(embedder),
        last_layer=LastLayer(tensors["_fc.weight"].T, tensors["_fc.bias"]),
        provenance=_provenance(entry, source, hashlib.sha256(file.read_bytes()).hexdigest()),
    )


def _provenance(entry: Entry, weights: str, weights_sha256: str) -> dict[str, str]:
    return {
        "origin": entry.origin,
        "licence": entry.licence,
        "weights": weights,
        "weights_sha256": weights_sha256,
        "scaling": entry.scaling.name,
        "keras": version("keras"),
        "tf2onnx": version("tf2onnx"),
    }
