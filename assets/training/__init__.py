"""The group `training`: from labelled images to the promoted classifier, with the checks between them, and its job."""

import sys

import dagster as dg

from assets.declarations import define_all
from resources.question import Question


def build(question: Question) -> dg.Definitions:
    """Defines the assets, checks and job of a question."""
    job = dg.define_asset_job(
        question.word("training"),
        dg.AssetSelection.groups(question.word("training")),
        description="Trains a candidate on the labelled images and promotes it if it passes the gate.",
    )
    return dg.Definitions.merge(define_all(sys.modules[__name__], question), dg.Definitions(jobs=[job]))
