"""The group `bake_off`: backbones and precisions compared on the user's own labelled images, and its job."""

import sys

import dagster as dg

from assets.declarations import define_all
from resources.question import Question

bake_off = dg.define_asset_job(
    "bake_off",
    dg.AssetSelection.assets("training_images", "contenders"),
    description="Compares backbones on the labelled images: accuracy, speed, price.",
)


def build(question: Question) -> dg.Definitions:
    """Defines the asset and its job; the labelled images are those of the deployment's own question."""
    return dg.Definitions.merge(define_all(sys.modules[__name__], question), dg.Definitions(jobs=[bake_off]))
