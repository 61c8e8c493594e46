"""The catalogue: backbones by name, and for each of them how it is built and what is known about it.

Facts alone: how one of them is opened, or a user's own network in its place, is `loader.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.networks.catalogue.efficientnet_lite import FEATURE_COUNT, LITE0, LITE1, LITE2, Variant
from pipeline.networks.catalogue.keras_applications import Application
from pipeline.networks.catalogue.lite_weights import LITE0_WEIGHTS, LITE1_WEIGHTS, LITE2_WEIGHTS, PublishedWeights
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, PixelScaling


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A backbone of the catalogue.

    Attributes:
        name: what `DAYLIGHT_BACKBONE` says.
        size: side of the square pictures, in pixels.
        dimension: length of the feature vector.
        scaling: what it expects of its pixels.
        licence: of the weights; Keras's own after keras.io/applications.
        origin: who trained it on what.
    """

    name: str
    size: int
    dimension: int
    scaling: PixelScaling
    licence: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class LiteEntry(Entry):
    """An EfficientNet-Lite; a package that is installed with Daylight carries its weights."""

    variant: Variant
    weights: PublishedWeights


@dataclass(frozen=True, kw_only=True)
class KerasEntry(Entry):
    """A network of Keras Applications; Keras downloads its weights."""

    application: Application


def _lite(variant: Variant, weights: PublishedWeights) -> LiteEntry:
    return LiteEntry(
        name=variant.name,
        size=variant.size,
        dimension=FEATURE_COUNT,
        scaling=SYMMETRIC,
        licence="Apache-2.0",
        origin="Google's EfficientNet-Lite, ImageNet-1k, ported to PyTorch by ML Illustrated, rebuilt in Keras",
        variant=variant,
        weights=weights,
    )


def _keras(
    name: str, function: str, module: str, size: int, dimension: int, scaling: PixelScaling, licence: str, origin: str
) -> KerasEntry:
    application = Application(function, module)
    return KerasEntry(
        name=name,
        size=size,
        dimension=dimension,
        scaling=scaling,
        licence=licence,
        origin=origin,
        application=application,
    )


CATALOGUE: Final[Mapping[str, LiteEntry | KerasEntry]] = {
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
            "CC BY", "Visual Geometry Group, Oxford, ImageNet-1k, ported by Keras",
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
