"""The frozen backbone, and the proofs that the stored graph is the network and that the network sees."""

import dagster as dg

from pipeline.backbone import Backbone
from pipeline.networks.export import describe_backbone
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos
from pipeline.networks.parity import LEAST_COSINE, MAX_SCALED_DIFFERENCE, measure_parity
from resources.backbone import BackboneCatalogue
from resources.pages import show_numbers, show_report
from resources.settings import read_settings

LEAST_RIGHT_SHARE = 0.8


@dg.asset(
    group_name="training",
    kinds={"onnx", "keras"},
    owners=["team:vision"],
    io_manager_key="models",
    code_version=read_settings().backbone_version,
)
def backbone(catalogue: BackboneCatalogue) -> dg.Output[Backbone]:
    """Frozen, pretrained network from uint8 pixels to a feature vector, as one ONNX file.

    DAYLIGHT_BACKBONE names one of the catalogue or a file of your own. Its data version is the digest of the graph, and
    features of two digests never meet.
    """
    made = catalogue.export()
    report = describe_backbone(made, measure_parity(catalogue.open().embed, made, decode_known_photos(made.size)))
    return dg.Output(made, data_version=dg.DataVersion(made.digest), metadata=show_report(report))


@dg.asset_check(asset="backbone", blocking=True)
def backbone_matches_its_network(backbone: Backbone, catalogue: BackboneCatalogue) -> dg.AssetCheckResult:
    """On real photos, the stored graph gives the features of its framework: within 0.0001 of their scale in fp32.

    In int8 the cosine of every photo's two vectors is 0.9 at least.
    """
    parity = measure_parity(catalogue.open().embed, backbone, decode_known_photos(backbone.size))
    return dg.AssetCheckResult(
        passed=parity.is_within(backbone.precision),
        metadata={
            "max_abs_difference": parity.max_abs_difference,
            "scaled_difference": parity.scaled_difference,
            "allowed_difference": MAX_SCALED_DIFFERENCE[backbone.precision],
            "smallest_cosine": parity.smallest_cosine,
            "least_cosine": LEAST_COSINE[backbone.precision],
        },
    )


@dg.asset_check(asset="backbone", blocking=True)
def backbone_recognises_known_photos(backbone: Backbone, catalogue: BackboneCatalogue) -> dg.AssetCheckResult:
    """ImageNet's own classifier, on the stored graph's features, names at least four in five known photos.

    A warning where the weights came without their classifier: then nobody can tell.
    """
    last_layer = catalogue.open().last_layer
    if last_layer is None:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="the weights came without ImageNet's classifier, so that the photos cannot be named",
        )
    answers = classify_known_photos(backbone, last_layer)
    right_share = sum(answer.is_right for answer in answers) / len(answers)
    wrong = [answer.photo.name for answer in answers if not answer.is_right]
    return dg.AssetCheckResult(
        passed=right_share >= LEAST_RIGHT_SHARE,
        metadata={**show_numbers({"right_share": right_share, "allowed": LEAST_RIGHT_SHARE}), "wrong": wrong},
    )
