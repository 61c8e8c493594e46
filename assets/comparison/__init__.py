"""The group `bake_off`: backbones and precisions compared on the user's own labelled images, and its job."""

import sys

import dagster as dg

from resources.settings import Settings

bake_off = dg.define_asset_job(
    "bake_off",
    dg.AssetSelection.assets("training_images", "contenders"),
    description="Compares backbones on the labelled images: accuracy, speed, price.",
)


def build(settings: Settings) -> dg.Definitions:
    """Collects the assets of this package; none of them depends on the settings at definition time."""
    return dg.Definitions(assets=dg.load_assets_from_package_module(sys.modules[__name__]), jobs=[bake_off])
