"""The asset `backbone`: the frozen network, with checks that its graph is exact and that it recognises photos."""

import dagster as dg

from assets.declarations import declare_check, training_asset
from pipeline.embed.backbone import Backbone
from pipeline.networks.export import describe_backbone
from pipeline.networks.parity import MAX_SCALED_DIFFERENCE, MIN_CORRECT_SHARE, MIN_COSINE
from pipeline.training.precision import MAX_LOSS, describe_precision, loses_little
from resources.instance.pages import show_numbers, show_report
from resources.models.catalogue import BackboneCatalogue
from resources.models.precision import Precisions
from resources.spark.session import POOL


@training_asset(
    kinds={"onnx", "keras"},
    deps=["training_images", "precision_measurement"],
    io_manager_key="models",
    code_version=lambda question: question.settings.backbone_version,
)
def backbone(catalogue: BackboneCatalogue, precisions: Precisions) -> dg.Output[Backbone]:
    """Frozen, pretrained network from uint8 pixels to a feature vector, as one ONNX file.

    DAYLIGHT_BACKBONE names an entry of the catalogue or a file of your own. DAYLIGHT_PRECISION sets fp32 or int8, or
    lets `precision_measurement` choose. The data version is the digest of the graph, so features of two graphs never
    mix.
    """
    made, choice = precisions.choose()
    parity = catalogue.examine(made).parity
    metadata = show_report(describe_backbone(made, parity)) | show_report(describe_precision(choice))
    return dg.Output(made, data_version=dg.DataVersion(made.digest), metadata=metadata)


@declare_check(pool=POOL, asset="backbone", blocking=True)
def backbone_matches_its_network(backbone: Backbone, catalogue: BackboneCatalogue) -> dg.AssetCheckResult:
    """On real photos, the stored graph gives the features of its framework: within 0.0001 of their scale in fp32.

    In int8 the cosine between both vectors of every photo is at least 0.9.
    """
    parity = catalogue.examine(backbone).parity
    allowed, least = MAX_SCALED_DIFFERENCE[backbone.precision], MIN_COSINE[backbone.precision]
    return dg.AssetCheckResult(
        passed=parity.is_within(backbone.precision),
        description=(
            f"features differ by {parity.scaled_difference:.1e} of their scale, maximum {allowed:g}; smallest cosine"
            f" {parity.smallest_cosine:.5f}, minimum {least:g}"
        ),
        metadata={
            "max_abs_difference": parity.max_abs_difference,
            "scaled_difference": parity.scaled_difference,
            "allowed_difference": allowed,
            "smallest_cosine": parity.smallest_cosine,
            "least_cosine": least,
        },
    )


@declare_check(pool=POOL, asset="backbone", blocking=True)
def backbone_recognises_known_photos(backbone: Backbone, catalogue: BackboneCatalogue) -> dg.AssetCheckResult:
    """ImageNet's own classifier, on the stored graph's features, names at least four in five known photos.

    Only a warning if the weights came without that classifier.
    """
    examined = catalogue.examine(backbone)
    right_share = examined.right_share
    if examined.is_correct is None or right_share is None:
        description = "the weights came without ImageNet's classifier, so the photos cannot be named"
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=description)
    wrong = [name for name, each in examined.is_correct.items() if not each]
    return dg.AssetCheckResult(
        passed=right_share >= MIN_CORRECT_SHARE,
        description=f"{right_share:.0%} of the known photos named correctly, minimum {MIN_CORRECT_SHARE:.0%}",
        metadata={**show_numbers({"right_share": right_share, "allowed": MIN_CORRECT_SHARE}), "wrong": wrong},
    )


@declare_check(pool=POOL, asset="backbone")
def int8_costs_little(backbone: Backbone, precisions: Precisions) -> dg.AssetCheckResult:
    """int8 loses at most half a point of accuracy against fp32, on the labelled holdout; passes if fp32 is in use.

    Only a warning, because the user may decide for DAYLIGHT_PRECISION=int8.
    """
    measured = precisions.recall(backbone)
    costs = measured.costs if measured else None
    description = "fp32 in use"
    if backbone.precision == "int8":
        description = measured.reason if measured else "unknown: there are too few labelled images to measure it"
    return dg.AssetCheckResult(
        passed=backbone.precision == "fp32" or bool(costs and loses_little(costs)),
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=show_numbers({"allowed": MAX_LOSS, **({"loss": costs.loss} if costs else {})}),
    )
