"""Automation of a question: train when labels have arrived, predict days again when a classifier was promoted.

Conditions of Dagster, evaluated by one sensor per question, which is off until somebody switches it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from pipeline.images.places import LabelError
from pipeline.reviews.answer_files import read_answers, tabulate
from pipeline.reviews.filled_forms import NO_FORMS, read_forms
from resources.lake.lake import Lake
from resources.landing import LandingError, open_landing_zone
from resources.question import Question

INTERVAL_SECONDS: Final = 300  # between evaluations, which list answers and labelled files


@dataclass(frozen=True)
class LabelsArrived(dg.AutomationCondition[dg.AssetKey]):
    """As many labels as the question asks for are there that its last training has not read."""

    question: Question = field(hash=False)

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """True while they wait; a training reads them."""
        wanted = self.question.automation
        has_reviews = bool(wanted.reviews) and len(list_new_reviews(self.question)) >= wanted.reviews
        has_arrived = has_reviews or (bool(wanted.images) and len(list_new_files(self.question)) >= wanted.images)
        return dg.AutomationResult(context, context.candidate_subset if has_arrived else context.get_empty_subset())


@dataclass(frozen=True)
class NewestDays(dg.AutomationCondition[dg.AssetKey]):
    """The newest days with images, as many as the question predicts again after a promotion."""

    question: Question = field(hash=False)

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """True for these days."""
        days = open_lake(self.question).list_days("images")[-self.question.automation.repredicted_days :]
        return dg.AutomationResult(
            context, context.candidate_subset.compute_intersection_with_partition_keys(set(days))
        )


def find_condition(question: Question, asset: str, group: str) -> dg.AutomationCondition | None:
    """Finds the condition of an asset of a question; None if nothing starts its runs.

    The first asset of a group has the reason to start, and the others follow it in the same run.
    """
    automation = question.automation
    if not automation.is_asked:
        return None
    if asset == "reviews":
        return start_training(question)
    if asset == "difficulty":
        return predict_again(question) if automation.repredicted_days else None
    requested = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    return requested.allow(dg.AssetSelection.groups(question.word(group)))


def build_sensors(question: Question) -> list[dg.SensorDefinition]:
    """Builds the sensor that evaluates the conditions of a question; none if it asks for nothing."""
    if not question.automation.is_asked:
        return []
    sensor = dg.AutomationConditionSensorDefinition(
        question.word("automation"),
        target=dg.AssetSelection.groups(question.word("training"), question.word("daily")),
        use_user_code_server=True,
        minimum_interval_seconds=INTERVAL_SECONDS,
        description=f"Trains {question.name} when labels have arrived, and predicts days again after a promotion.",
    )
    return [sensor]


def start_training(question: Question) -> dg.AutomationCondition:
    """The condition that starts a training: once for the same labels, and at the times of a schedule."""
    condition = dg.AutomationCondition
    arrived = LabelsArrived(question).newly_true()
    if cron := question.automation.schedule:
        arrived |= condition.cron_tick_passed(cron, question.settings.time_zone)
    return arrived.since(condition.newly_requested() | condition.newly_updated()) & ~condition.in_progress()


def predict_again(question: Question) -> dg.AutomationCondition:
    """The condition that predicts days again: once for each version of the classifier."""
    condition = dg.AutomationCondition
    promoted = condition.any_deps_match(condition.data_version_changed())
    return promoted.allow(dg.AssetSelection.assets(question.key("classifier"))) & NewestDays(question)


def list_new_reviews(question: Question) -> set[str]:
    """Lists the answered images that no training has read."""
    folder, lake = open_landing_zone(question).review_folder(), open_lake(question)
    forms = read_forms(folder) if folder else NO_FORMS
    answered = forms.with_more(tabulate(read_answers(lake.home).standing())).answers["image_id"].to_pylist()
    return set(answered).difference(_read(lake, "reviews", ["image_id"]))


def list_new_files(question: Question) -> set[str]:
    """Lists the labelled files that no training has read; none where a training would refuse the folder."""
    zone = open_landing_zone(question)
    try:
        files = zone.list_training_files()
    except (LandingError, LabelError):
        return set()
    return set(files.labelled["path"].to_pylist()).difference(_read(open_lake(question), "training_images", ["path"]))


def open_lake(question: Question) -> Lake:
    """Opens the lake of a question."""
    return Lake(root=question.settings.lake, prefix=question.name)


def _read(lake: Lake, table: str, columns: Sequence[str]) -> list[str]:
    rows = lake.read_arrow(table, None, columns) if lake.count_versions(table) >= 0 else None
    return rows[0].to_pylist() if rows else []
