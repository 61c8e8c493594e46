"""The frozen backbone, and the proofs that the stored graph is the network and that the network sees."""

import dagster as dg

from pipeline.backbone import Backbone
from pipeline.efficientnet_lite import load_network
from pipeline.export import describe_backbone, measure_parity
from pipeline.known_photos import classify_known_photos, decode_known_photos
from resources.backbone import BackboneCatalogue
from resources.pages import show_numbers, show_report

MAX_ABS_DIFFERENCE = 1e-4
LEAST_RIGHT_SHARE = 0.8


@dg.asset(group_name="training", kinds={"onnx", "keras"}, owners=["team:vision"], io_manager_key="models")
def backbone(catalogue: BackboneCatalogue) -> dg.Output[Backbone]:
    """Frozen, pretrained network from uint8 pixels to a feature vector, as one ONNX file.

    Its weights come with an installed package, Keras rebuilds the network and tf2onnx converts it. Its data version is
    the digest of the file, and features of two digests never meet.
    """
    made = catalogue.export()
    report = describe_backbone(made, measure_parity(load_network(made.name), made, decode_known_photos(made.size)))
    return dg.Output(made, data_version=dg.DataVersion(made.digest), metadata=show_report(report))


@dg.asset_check(asset="backbone", blocking=True)
def backbone_matches_keras(backbone: Backbone) -> dg.AssetCheckResult:
    """On real photos, no feature of the stored graph differs from Keras's by more than 0.0001."""
    parity = measure_parity(load_network(backbone.name), backbone, decode_known_photos(backbone.size))
    return dg.AssetCheckResult(
        passed=parity.max_abs_difference <= MAX_ABS_DIFFERENCE,
        metadata={
            "max_abs_difference": parity.max_abs_difference,
            "allowed": MAX_ABS_DIFFERENCE,
            "smallest_cosine": parity.smallest_cosine,
        },
    )


@dg.asset_check(asset="backbone", blocking=True)
def backbone_recognises_known_photos(backbone: Backbone) -> dg.AssetCheckResult:
    """ImageNet's own classifier, on the stored graph's features, names at least four in five known photos."""
    answers = classify_known_photos(backbone)
    right_share = sum(answer.is_right for answer in answers) / len(answers)
    wrong = [answer.photo.name for answer in answers if not answer.is_right]
    return dg.AssetCheckResult(
        passed=right_share >= LEAST_RIGHT_SHARE,
        metadata={**show_numbers({"right_share": right_share, "allowed": LEAST_RIGHT_SHARE}), "wrong": wrong},
    )
