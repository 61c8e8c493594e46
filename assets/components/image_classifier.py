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
from pipeline.training.heads import YES_NO, HeadName, Normalization
from resources.question import OWNERS, Automation, Question
from resources.setting_types import Count, File, Flags, Folder, Positive, Share
from resources.settings import SettingError, Settings, read_settings

OF_TRAINING: Final = ("head", "normalization", "params", "grid", "heads", "target_precision")
OF_SETTINGS: Final = (
    *("accuracy_floor", "recall_floor", "max_calibration_error", "max_slowdown", "max_growth"),
    *("audit_share", "audit_min", "audit_max", "review_flags"),
)
OF_ONE_LABEL: Final = ("label_pattern", "labels", "head", "heads", "grid")
MAX_REPREDICTED: Final = 366  # days in one run
INHERITED: Final = "by default that of the deployment"


def described(text: str) -> dg.Resolver:
    """Describes a key that has a default, for the UI and editors: Dagster reads no description of the field itself."""
    return dg.Resolver.default(description=text)


@dg.scaffold_with(ImageClassifierScaffolder)
class ImageClassifier(dg.Component, dg.Model, dg.Resolvable):
    """A further classifier of the same images, with its own labels, gate, promotion, audit and reviews.

    Images are embedded once for all classifiers. Assets, tables and models have the name as their prefix, such as
    `damage/predictions`; jobs are `damage_training` and `damage_daily`, and `daily` predicts it too.
    """

    name: Annotated[str, AfterValidator(check_name)] = Field(
        description="Prefix of its assets, tables, models and jobs, such as damage."
    )
    training: Annotated[
        Folder | None, described("Folder or URI of its labelled images; by default <landing>/<name>/training.")
    ] = None
    manifest: Annotated[
        File | None,
        described("CSV file with path, label (of multi_label: labels) and optionally split and group."),
    ] = None
    label_pattern: Annotated[
        str | None, described("Regular expression with a group label, for the paths of its labelled images.")
    ] = None
    labels: Annotated[
        dict[str, str],
        described("Labels to learn by labels of the files, such as orange: citrus; empty text leaves files out."),
    ] = Field(default_factory=dict)
    multi_label: Annotated[
        bool,
        described(
            "Whether any number of labels may hold for an image: a yes/no question about each label of the manifest."
        ),
    ] = False
    head: Annotated[HeadName | None, described("MLlib classifier to fit on the features; by default auto.")] = None
    normalization: Annotated[
        Normalization | None, described("Normalization of the features: l2 (the default), standard or none.")
    ] = None
    params: Annotated[
        dict[str, float] | None, described("MLlib parameters of the head by name, such as regParam: 0.03.")
    ] = None
    grid: Annotated[
        dict[str, list[float]] | None,
        described("Values by parameter, such as regParam: [0.01, 0.1]; cross-validation chooses."),
    ] = None
    heads: Annotated[
        dict[HeadName, dict[str, list[float]]] | None,
        described("Heads to compare, each with its grid; the best by cross-validation is fitted."),
    ] = None
    target_precision: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None,
        described("Minimum precision of the answers; others are reviewed. By default 0.95."),
    ] = None
    accuracy_floor: Annotated[
        Share | None, described(f"Minimum accuracy of a candidate on the holdout; {INHERITED}.")
    ] = None
    recall_floor: Annotated[Share | None, described(f"Minimum recall of every label on the holdout; {INHERITED}.")] = (
        None
    )
    max_calibration_error: Annotated[
        Share | None, described(f"Maximum expected calibration error of a candidate; {INHERITED}.")
    ] = None
    max_slowdown: Annotated[
        Positive | None, described(f"Maximum CPU time per image, as a multiple of the classifier in use; {INHERITED}.")
    ] = None
    max_growth: Annotated[
        Positive | None, described(f"Maximum size of the backbone, as a multiple of the one in use; {INHERITED}.")
    ] = None
    audit_share: Annotated[
        Share | None, described(f"Share of a day's predicted images drawn at random for review; {INHERITED}.")
    ] = None
    audit_min: Annotated[Count | None, described(f"Minimum number of images drawn a day; {INHERITED}.")] = None
    audit_max: Annotated[Count | None, described(f"Maximum number of images drawn a day; {INHERITED}.")] = None
    review_flags: Annotated[
        Flags | None, described(f"Quality flags whose images go to review, with commas; {INHERITED}.")
    ] = None
    schedule: Annotated[
        str, described("Cron of its own daily job; by default the job daily predicts it with the others.")
    ] = ""
    retrain_after_reviews: Annotated[
        Count, described("New answers on the review page or in forms that start a training; 0: none does.")
    ] = 0
    retrain_after_images: Annotated[Count, described("New labelled files that start a training; 0: none does.")] = 0
    retrain_schedule: Annotated[str, described("Cron that starts a training; by default none.")] = ""
    repredict_days: Annotated[
        Annotated[int, Field(ge=0, le=MAX_REPREDICTED)],
        described("Newest days to predict again, in one run, once a classifier was promoted; 0: none."),
    ] = 0
    owners: Annotated[list[str], described("Owners of its assets: e-mails, or team:name.")] = Field(default=[*OWNERS])

    @model_validator(mode="after")
    def _choose_one_source(self) -> "ImageClassifier":
        if self.manifest and self.label_pattern:
            raise ValueError("manifest and label_pattern both give the labels: delete one of them")
        if self.head == YES_NO or YES_NO in (self.heads or ()):
            raise ValueError(f"the head {YES_NO} is that of multi_label: set multi_label: true instead")
        for name in OF_ONE_LABEL:
            if self.multi_label and getattr(self, name):
                raise ValueError(f"multi_label and {name} exclude each other: delete one of them")
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
        if self.multi_label:
            defaults["head"] = YES_NO
        return Question(
            deployment,
            name=self.name,
            manifest=self.manifest or "",
            labels=self.labels,
            is_multi_label=self.multi_label,
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
