"""The loader: from the configured backbone to a pretrained network in its own framework.

A name is looked up in `catalogue/`; anything else is the path of a user's own network, for `own/`.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pipeline.networks.catalogue.backbones import CATALOGUE
from pipeline.networks.own.open_network import identify_own_network, open_own_network
from pipeline.networks.pretrained import Pretrained, PretrainedError

RECIPE: Final = 1  # increase it with every change of the export that alters the graph of an unchanged network


def open_pretrained(
    backbone: str, weights: Path | None = None, features_tensor: str = "", scaling: str = ""
) -> Pretrained:
    """Opens the configured network.

    Args:
        backbone: name in the catalogue, or path of a user's own network.
        weights: file that replaces the weights of the catalogue, or folder with `<name>.weights.h5`, `<name>.h5` or
            `<name>.pth` for some of its backbones.
        features_tensor: name of the tensor with the features, or of a reading, for a user's own network.
        scaling: text for `pixel_scaling.parse_scaling`, for a user's own network.

    Raises:
        PretrainedError: if the network does not exist or its weights are unavailable; the message names the cure.
    """
    if backbone in CATALOGUE:
        return CATALOGUE[backbone].load(find_file(backbone, weights))
    return open_own_network(_path_of(backbone), features_tensor, scaling)


def identify_recipe(backbone: str, weights: Path | None = None, features_tensor: str = "", scaling: str = "") -> str:
    """Everything that determines the exported graph, as JSON, without building the network; arguments as above.

    Raises:
        PretrainedError: if the network or the file of weights does not exist.
    """
    versions = [RECIPE, version("keras"), version("tf2onnx")]
    if backbone not in CATALOGUE:
        return json.dumps([identify_own_network(_path_of(backbone)), backbone, features_tensor, scaling, *versions])
    file = find_file(backbone, weights)
    source = hashlib.sha256(file.read_bytes()).hexdigest() if file else CATALOGUE[backbone].default_weights
    return json.dumps([backbone, source, *versions])


def find_file(name: str, weights: Path | None) -> Path | None:
    """The user's weights of a backbone: the file itself, the matching file of a folder, or None.

    Raises:
        PretrainedError: if the path does not exist.
    """
    if weights is None or weights.is_file():
        return weights
    if not weights.is_dir():
        raise PretrainedError(f"the weights {weights} do not exist: set DAYLIGHT_WEIGHTS to a file or a folder")
    files = (weights / f"{name}{suffix}" for suffix in (".weights.h5", ".h5", ".pth"))
    return next(filter(Path.is_file, files), None)


def _path_of(backbone: str) -> Path:
    if "/" in backbone or "." in backbone or Path(backbone).exists():
        return Path(backbone)
    raise PretrainedError(
        f"there is no backbone {backbone!r}: set DAYLIGHT_BACKBONE to one of {', '.join(CATALOGUE)},"
        " or the path of an .onnx, .keras or .tflite file or of a SavedModel folder"
    )
