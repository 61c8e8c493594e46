"""The component `ImageClassifier`: a further question about the same images, from a few lines of YAML.

It says what the classifier has of its own; embeddings, and all settings that it does not name, are the deployment's.
"""

from collections import Counter
from typing import Annotated, Final

import dagster as dg
from pydantic import AfterValidator, Field, model_validator

from assets import alerts, daily, training
from assets.automation import build_sensors
from assets.components.names import check_name
from assets.components.scaffolder import ImageClassifierScaffolder
from assets.components.yaml_errors import explain_yaml
from pipeline.training.heads import HeadName, Normalization
from resources.question import OWNERS, Automation, Question
from resources.setting_types import Count, File, Flags, Folder, Positive, Share
from resources.settings import SettingError, Settings, read_settings

OF_TRAINING: Final = ("head", "normalization", "params", "grid", "heads", "target_precision")
OF_SETTINGS: Final = (
    *("accuracy_floor", "recall_floor", "max_calibration_error", "max_slowdown", "max_growth"),
    *("audit_share", "audit_min", "audit_max", "review_flags"),
)
MAX_REPREDICTED: Final = 366  # days in one run
INHERITED: Final = "by default that of the deployment"


@dg.scaffold_with(ImageClassifierScaffolder)
class ImageClassifier(dg.Component, dg.Model, dg.Resolvable):
    """A further classifier of the same images, with its own labels, gate, promotion, audit and reviews.

    Images are embedded once for all classifiers. Assets, tables and models have the name as their prefix, such as
    `damage/predictions`; jobs are `damage_training` and `damage_daily`, and `daily` predicts it too.
    """

    name: Annotated[str, AfterValidator(check_name)] = Field(
        description="Prefix of its assets, tables, models and jobs, such as damage."
    )
    training: Folder | None = Field(
        default=None, description="Folder or URI of its labelled images; by default <landing>/<name>/training."
    )
    manifest: File | None = Field(
        default=None, description="CSV file with path, label and optionally split and group of its labelled images."
    )
    label_pattern: str | None = Field(
        default=None, description="Regular expression with a group label, for the paths of its labelled images."
    )
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Labels to learn by labels of the files, such as orange: citrus; empty text leaves files out.",
    )
    head: HeadName | None = Field(default=None, description="MLlib classifier to fit on the features; by default auto.")
    normalization: Normalization | None = Field(
        default=None, description="Normalization of the features: l2 (the default), standard or none."
    )
    params: dict[str, float] | None = Field(
        default=None, description="MLlib parameters of the head by name, such as regParam: 0.03."
    )
    grid: dict[str, list[float]] | None = Field(
        default=None, description="Values by parameter, such as regParam: [0.01, 0.1]; cross-validation chooses."
    )
    heads: dict[HeadName, dict[str, list[float]]] | None = Field(
        default=None, description="Heads to compare, each with its grid; the best by cross-validation is fitted."
    )
    target_precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Minimum precision of the answers; others are reviewed. By default 0.95."
    )
    accuracy_floor: Share | None = Field(
        default=None, description=f"Minimum accuracy of a candidate on the holdout; {INHERITED}."
    )
    recall_floor: Share | None = Field(
        default=None, description=f"Minimum recall of every label on the holdout; {INHERITED}."
    )
    max_calibration_error: Share | None = Field(
        default=None, description=f"Maximum expected calibration error of a candidate; {INHERITED}."
    )
    max_slowdown: Positive | None = Field(
        default=None, description=f"Maximum CPU time per image, as a multiple of the classifier in use; {INHERITED}."
    )
    max_growth: Positive | None = Field(
        default=None, description=f"Maximum size of the backbone, as a multiple of the one in use; {INHERITED}."
    )
    audit_share: Share | None = Field(
        default=None, description=f"Share of a day's predicted images drawn at random for review; {INHERITED}."
    )
    audit_min: Count | None = Field(default=None, description=f"Minimum number of images drawn a day; {INHERITED}.")
    audit_max: Count | None = Field(default=None, description=f"Maximum number of images drawn a day; {INHERITED}.")
    review_flags: Flags | None = Field(
        default=None, description=f"Quality flags whose images go to review, with commas; {INHERITED}."
    )
    schedule: str = Field(
        default="", description="Cron of its own daily job; by default the job daily predicts it with the others."
    )
    retrain_after_reviews: Count = Field(
        default=0, description="New answers on the review page or in forms that start a training; 0: none does."
    )
    retrain_after_images: Count = Field(
        default=0, description="New labelled files that start a training; 0: none does."
    )
    retrain_schedule: str = Field(default="", description="Cron that starts a training; by default none.")
    repredict_days: Annotated[int, Field(ge=0, le=MAX_REPREDICTED)] = Field(
        default=0, description="Newest days to predict again, in one run, once a classifier was promoted; 0: none."
    )
    owners: list[str] = Field(default=[*OWNERS], description="Owners of its assets: e-mails, or team:name.")

    @model_validator(mode="after")
    def _choose_one_source(self) -> "ImageClassifier":
        if self.manifest and self.label_pattern:
            raise ValueError("manifest and label_pattern both give the labels: delete one of them")
        return self

    def make_question(self, settings: Settings) -> Question:
        """Makes the question, in a deployment with these settings.

        Raises:
            SettingError: if what it has of its own does not fit the settings.
        """
        own = {name: value for name in OF_SETTINGS if (value := getattr(self, name)) is not None}
        folder = self.training or f"{settings.landing}/{self.name}/training"
        deployment = settings.replace(
            **own,
            training=folder,
            label_pattern=self.label_pattern or "",
            review_url=f"{settings.review_url}/{self.name}",
        )
        if deployment.audit_min > deployment.audit_max:
            raise SettingError(
                f"audit_min of {self.name} is {deployment.audit_min}, above audit_max, which is {deployment.audit_max}"
            )
        defaults = {name: value for name in OF_TRAINING if (value := getattr(self, name)) is not None}
        return Question(
            deployment,
            name=self.name,
            manifest=self.manifest or "",
            labels=self.labels,
            defaults={"classifier_candidate": defaults} if defaults else {},
            schedule=self.schedule,
            automation=Automation(
                self.retrain_after_reviews, self.retrain_after_images, self.retrain_schedule, self.repredict_days
            ),
            owners=tuple(self.owners),
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Defines its assets, checks and jobs; the code location has the resources."""
        return build(self.make_question(read_settings()))


def list_questions(tree: dg.ComponentTree, settings: Settings) -> list[Question]:
    """Lists the questions of the components of a project, in a deployment with these settings.

    Raises:
        SettingError: if a component cannot be used, or two have the same name.
    """
    with explain_yaml(tree.defs_module_path, ImageClassifier.model_fields):
        found = tree.get_all_components(ImageClassifier)
    names = Counter(each.name for each in found)
    if twice := [name for name, count in names.items() if count > 1]:
        raise SettingError(f"two files in assets/defs have the name {twice[0]}: change one, since it is the prefix")
    return [each.make_question(settings) for each in found]


def build(question: Question) -> dg.Definitions:
    """Defines what a further question has of its own."""
    sensors = dg.Definitions(sensors=build_sensors(question))
    return dg.Definitions.merge(training.build(question), daily.build(question), alerts.build(question), sensors)
