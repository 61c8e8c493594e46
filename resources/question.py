"""A question: what one classifier is asked about every image, and under which names its assets and folders lie.

The question of the deployment has no name, so its names have no prefix. Those of others come from `assets/components`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

from resources.settings import Settings
from resources.shares import SHARED

OWN_RESOURCES: Final = frozenset(
    {"classifiers", "difficulties", "io_manager", "landing_zone", "lake", "model_store", "models", "settings"}
)
"""Resources of which each question has its own."""
OWNERS: Final = ("team:vision",)


@dataclass(frozen=True)
class Automation:
    """What starts runs of a question by itself, once its sensor is on; zero and empty text: nothing.

    Attributes:
        reviews: answered images that start a training.
        images: labelled files that start one.
        schedule: cron that starts one.
        repredicted_days: newest days to predict again once a classifier was promoted.
    """

    reviews: int = 0
    images: int = 0
    schedule: str = ""
    repredicted_days: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether anything starts runs."""
        return self != Automation()


@dataclass(frozen=True)
class Question:
    """What one classifier is asked.

    Attributes:
        settings: settings of the deployment, with what this classifier has of its own.
        name: prefix of its assets, tables and models; empty for the question of the deployment.
        manifest: file that gives the labels; empty: as `list_training_files` finds them.
        labels: labels to learn by labels of the files; those that are not listed stay.
        is_multi_label: whether each image has a set of labels, which the manifest gives.
        defaults: defaults of the launchpad that are its own, by asset and field.
        schedule: cron of its own daily job; empty: the job `daily` predicts it together with the others.
        automation: what starts its runs by itself.
        owners: owners of its assets.
    """

    settings: Settings
    name: str = ""
    manifest: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    is_multi_label: bool = False
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schedule: str = ""
    automation: Automation = Automation()
    owners: tuple[str, ...] = OWNERS

    def key(self, asset: str) -> dg.AssetKey:
        """The key of an asset: with the prefix, unless all questions share it."""
        return key_of(asset, self.name)

    def word(self, name: str) -> str:
        """The name of a job, group, schedule or op of this question."""
        return f"{self.name}_{name}" if self.name else name

    def resource(self, key: str) -> str:
        """The key under which the code location has a resource of this question."""
        return f"{self.name}__{key}" if self.name and key in OWN_RESOURCES else key


def key_of(asset: str, prefix: str) -> dg.AssetKey:
    """The key of an asset of the question with this prefix, or of one that all questions share."""
    return dg.AssetKey([prefix, asset] if prefix and asset not in SHARED else [asset])
