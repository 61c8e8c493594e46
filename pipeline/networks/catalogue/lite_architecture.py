"""The architecture of EfficientNet-Lite0, 1 and 2 in Keras; weights belong in `lite_weights.py`."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.networks.keras_runtime import import_keras
from pipeline.networks.pretrained import CLASS_COUNT

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Variant:
    """One network of the family."""

    name: str  # in the catalogue
    width: float  # factor on the number of channels of a stage
    depth: float  # factor on the number of blocks of a stage
    size: int  # height and width of input images, in pixels


LITE0: Final = Variant("efficientnet-lite0", width=1.0, depth=1.0, size=224)
LITE1: Final = Variant("efficientnet-lite1", width=1.0, depth=1.1, size=240)
LITE2: Final = Variant("efficientnet-lite2", width=1.1, depth=1.2, size=260)

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
BATCH_NORM_EPSILON: Final = 1e-3


def build_network(variant: Variant) -> "keras.Model":
    """Builds the network with random weights.

    Returns:
        A model from `pixels`, RGB from -1 to 1, float32 `[n, size, size, 3]`, to a dict of `features`, float32
        `[n, 1280]`, pooled, and `logits`, float32 `[n, 1000]`.

    Source: github.com/tensorflow/tpu, `efficientnet/lite`: no squeeze-and-excitation, ReLU6; stem, head, and the depth
    of the first and last stage are not scaled.
    """
    keras = import_keras()
    pixels = keras.Input((variant.size, variant.size, 3), name="pixels")
    x = _convolve(pixels, "conv_stem", "bn0", STEM_CHANNELS, kernel=3, stride=2)
    for block, (expansion, kernel, stride, channels) in enumerate(_list_blocks(variant)):
        x = _add_block(x, f"blocks.{block}", expansion, kernel, stride, channels)
    x = _convolve(x, "conv_head", "bn1", FEATURE_COUNT)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(CLASS_COUNT, name="fc")(features)
    return keras.Model(pixels, {"features": features, "logits": logits}, name=variant.name)


def _list_blocks(variant: Variant) -> list[tuple[int, int, int, int]]:
    """Expansion, kernel, stride and channels of every block; only the first block of a stage has a stride."""
    blocks = []
    for stage, (expansion, kernel, stride, channels, count) in enumerate(STAGES):
        is_scaled = 0 < stage < len(STAGES) - 1
        for block in range(math.ceil(count * variant.depth) if is_scaled else count):
            blocks.append((expansion, kernel, 1 if block else stride, _round_channels(channels * variant.width)))
    return blocks


def _round_channels(channels: float) -> int:
    """Rounds to a multiple of 8, without losing more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _add_block(x: Any, name: str, expansion: int, kernel: int, stride: int, channels: int) -> Any:
    """Expands, convolves depthwise and projects, with a shortcut if the shape is unchanged."""
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
    """Convolution, batch normalisation and ReLU6; depthwise if `channels` is None."""
    from keras import layers

    shape = {"kernel_size": kernel, "strides": stride, "padding": "same", "use_bias": False, "name": name}
    x = (layers.DepthwiseConv2D(**shape) if channels is None else layers.Conv2D(channels, **shape))(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=norm)(x)
    return x if is_linear else layers.ReLU(max_value=6.0, name=f"{name}.relu6")(x)
