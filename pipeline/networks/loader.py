"""The loader: from one word of configuration to a pretrained network in its own framework.

A name is looked up in `catalogue.py`; what is not a name is the path of a user's own network, `own_network.py`.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.networks.catalogue.efficientnet_lite import build_network
from pipeline.networks.catalogue.entries import CATALOGUE, Entry, KerasEntry, LiteEntry
from pipeline.networks.catalogue.keras_applications import load_application, preprocess
from pipeline.networks.catalogue.lite_weights import find_weights, read_weights, set_weights
from pipeline.networks.keras_runtime import convert_network, import_keras
from pipeline.networks.own.open_network import identify_own_network, open_own_network
from pipeline.networks.pretrained import LastLayer, Pretrained, PretrainedError

RECIPE: Final = 1
"""To be counted up where this code would make another graph of the same network."""


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
    entry, file = CATALOGUE[backbone], find_file(backbone, weights)
    if file:
        source = hashlib.sha256(file.read_bytes()).hexdigest()
    else:
        source = entry.weights.sha256 if isinstance(entry, LiteEntry) else "downloaded"
    return json.dumps([backbone, source, *versions])


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


def load_entry(entry: LiteEntry | KerasEntry, weights: Path | None) -> Pretrained:
    """Builds the network of an entry in Keras and gives it its weights, or those of a user's file.

    Raises:
        PretrainedError: where the weights cannot be had or do not fit.
    """
    return _load_lite(entry, weights) if isinstance(entry, LiteEntry) else _load_keras(entry, weights)


def _load_keras(entry: KerasEntry, weights: Path | None) -> Pretrained:
    loaded = load_application(entry.application, entry.size, weights)
    return Pretrained(
        name=entry.name,
        size=entry.size,
        scaling=entry.scaling,
        embed=lambda pixels: np.asarray(loaded.network(preprocess(entry.application, pixels), training=False)),
        convert=lambda: convert_network(loaded.network),
        last_layer=loaded.last_layer,
        provenance=_provenance(entry, loaded.weights, loaded.weights_sha256),
    )


def _load_lite(entry: LiteEntry, weights: Path | None) -> Pretrained:
    keras = import_keras()
    file = weights or find_weights(entry.weights)
    tensors = read_weights(file)
    network = build_network(entry.variant)
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
