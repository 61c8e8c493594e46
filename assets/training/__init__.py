"""The group `training`: from labelled images to the promoted classifier, with the checks between them, and its job."""

import sys
from typing import cast

import dagster as dg

from resources.settings import Settings

training = dg.define_asset_job(
    "training",
    dg.AssetSelection.groups("training"),
    description="Trains a candidate on the labelled images and promotes it if it passes the gate.",
)


def build(settings: Settings) -> dg.Definitions:
    """Collects the assets and checks of this package; the backbone's code version follows the settings."""
    package, backbone = sys.modules[__name__], dg.AssetKey("backbone")

    def set_version(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(code_version=settings.backbone_version) if spec.key == backbone else spec

    assets = cast("list[dg.AssetsDefinition]", dg.load_assets_from_package_module(package))
    return dg.Definitions(
        assets=dg.map_asset_specs(set_version, assets),
        asset_checks=dg.load_asset_checks_from_package_module(package),
        jobs=[training],
    )
