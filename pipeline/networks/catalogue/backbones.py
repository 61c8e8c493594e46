"""The backbones of the catalogue by name. A new network of Keras Applications is one entry here and no other code."""

from collections.abc import Mapping
from typing import Final

from pipeline.networks.catalogue.efficientnet_lite import EfficientNetLite
from pipeline.networks.catalogue.entry import Entry
from pipeline.networks.catalogue.keras_applications import KerasApplication
from pipeline.networks.catalogue.lite_architecture import LITE0, LITE1, LITE2
from pipeline.networks.catalogue.lite_weights import LITE0_WEIGHTS, LITE1_WEIGHTS, LITE2_WEIGHTS
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC

GOOGLE: Final = "Google, ImageNet-1k, by Keras"


ENTRIES: Final[tuple[Entry, ...]] = (
    EfficientNetLite(name=LITE0.name, size=LITE0.size, variant=LITE0, weights=LITE0_WEIGHTS),
    EfficientNetLite(name=LITE1.name, size=LITE1.size, variant=LITE1, weights=LITE1_WEIGHTS),
    EfficientNetLite(name=LITE2.name, size=LITE2.size, variant=LITE2, weights=LITE2_WEIGHTS),
    KerasApplication(
        name="resnet50", function="ResNet50", module="resnet50", size=224, dimension=2048, scaling=CAFFE,
        licence="MIT", origin="Kaiming He et al., ImageNet-1k, ported by Keras",
    ),
    KerasApplication(
        name="vgg19", function="VGG19", module="vgg19", size=224, dimension=512, scaling=CAFFE,
        licence="CC BY", origin="Visual Geometry Group, Oxford, ImageNet-1k, ported by Keras",
    ),
    KerasApplication(
        name="inception-v3", function="InceptionV3", module="inception_v3", size=299, dimension=2048,
        scaling=SYMMETRIC, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="mobilenet-v2", function="MobileNetV2", module="mobilenet_v2", size=224, dimension=1280,
        scaling=SYMMETRIC, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="mobilenet-v3-large", function="MobileNetV3Large", module="mobilenet_v3", size=224, dimension=960,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="efficientnet-b0", function="EfficientNetB0", module="efficientnet", size=224, dimension=1280,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="efficientnetv2-b0", function="EfficientNetV2B0", module="efficientnet_v2", size=224, dimension=1280,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="efficientnetv2-b1", function="EfficientNetV2B1", module="efficientnet_v2", size=240, dimension=1280,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="efficientnetv2-b2", function="EfficientNetV2B2", module="efficientnet_v2", size=260, dimension=1408,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="efficientnetv2-b3", function="EfficientNetV2B3", module="efficientnet_v2", size=300, dimension=1536,
        scaling=RAW, licence="Apache-2.0", origin=GOOGLE,
    ),
    KerasApplication(
        name="convnext-tiny", function="ConvNeXtTiny", module="convnext", size=224, dimension=768, scaling=RAW,
        licence="MIT", origin="Zhuang Liu et al., ImageNet-1k, ported by Keras",
    ),
    KerasApplication(
        name="xception", function="Xception", module="xception", size=299, dimension=2048, scaling=SYMMETRIC,
        licence="MIT", origin="François Chollet, ImageNet-1k",
    ),
    KerasApplication(
        name="densenet121", function="DenseNet121", module="densenet", size=224, dimension=1024, scaling=IMAGENET,
        licence="BSD-3-Clause", origin="Gao Huang et al., ImageNet-1k, ported by Keras",
    ),
)  # fmt: skip
"""Licences of Keras's weights as keras.io/applications states them."""

CATALOGUE: Final[Mapping[str, Entry]] = {entry.name: entry for entry in ENTRIES}
