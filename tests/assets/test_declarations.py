"""Declarations: each question has assets, checks and jobs of its own, and the images and embeddings are shared."""

import dagster as dg
import pytest

from assets.definitions import build_definitions
from resources.question import OWN_RESOURCES, Question
from resources.settings import read_settings
from resources.shares import SHARED

OF_ALL = "daily_overview"  # exists where there are several questions
OF_BOTH = {"images", "image_features", "backbone", "precision_measurement", "contenders"}


@pytest.fixture(scope="module")
def question() -> Question:
    settings = read_settings().replace(training="damaged", accuracy_floor=0.7)
    config = {"classifier_candidate": {"head": "naive_bayes", "grid": {"smoothing": [0.5, 1.0]}}}
    return Question(settings, "damage", labels={"torn": "damaged"}, defaults=config, owners=("team:returns",))


@pytest.fixture(scope="module")
def definitions(question: Question) -> dg.Definitions:
    return build_definitions(read_settings(), [question])


def list_assets(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def list_checks(definitions: dg.Definitions) -> set[tuple[str, str]]:
    return {
        (spec.asset_key.to_user_string(), spec.name)
        for check in definitions.asset_checks or []
        for spec in check.check_specs
    }


def prefix(name: str) -> str:
    return name if name in OF_BOTH else f"damage/{name}"


def test_a_further_question_has_the_same_graph_below_its_prefix(definitions: dg.Definitions) -> None:
    alone, both = list_assets(build_definitions(read_settings())), list_assets(definitions)
    assert both.keys() == {name for each in alone for name in (each, prefix(each))} | {OF_ALL}
    for name, spec in alone.items():
        above = {dep.asset_key.to_user_string() for dep in both[prefix(name)].deps}
        assert above == {prefix(dep.asset_key.to_user_string()) for dep in spec.deps} or name in OF_BOTH, name
        assert both[prefix(name)].description == spec.description


def test_the_deployments_own_assets_and_checks_are_as_without_another_question(definitions: dg.Definitions) -> None:
    alone = build_definitions(read_settings())
    own = {name: spec for name, spec in list_assets(definitions).items() if not name.startswith("damage/")}
    own.pop(OF_ALL)
    assert own == list_assets(alone)
    assert list_checks(alone) <= list_checks(definitions)


def test_every_check_of_a_question_judges_its_own_asset(definitions: dg.Definitions) -> None:
    checks = list_checks(definitions)
    ours = {(asset, name) for asset, name in checks if not asset.startswith("damage/")}
    assert checks - ours == {(prefix(asset), name) for asset, name in ours if asset not in OF_BOTH}


def test_a_job_reads_and_writes_with_the_resources_of_its_question_only(definitions: dg.Definitions) -> None:
    load_shared_assets = {"io_manager", "models"}
    for job in ("damage_training", "damage_daily"):
        keys = set(definitions.resolve_job_def(job).get_required_resource_defs())
        assert keys & OWN_RESOURCES <= load_shared_assets, job
        assert {f"damage__{key}" for key in load_shared_assets} <= keys, job
    assert not [key for key in definitions.resolve_job_def("training").get_required_resource_defs() if "__" in key]
    assert definitions.resources["damage__lake"].folder("predictions").endswith("/damage/predictions")
    assert definitions.resources["damage__lake"].folder("images") == definitions.resources["lake"].folder("images")


def test_the_job_daily_predicts_all_questions_but_those_with_a_schedule_of_their_own(question: Question) -> None:
    later = Question(question.settings, "later", schedule="0 7 * * 1")
    both = build_definitions(read_settings(), [question, later])
    ops = both.resolve_job_def("daily").graph.node_dict
    assert {"predictions", "damage__predictions"} <= ops.keys()
    assert "later__predictions" not in ops
    assert "damage__predictions_every_due_day_has_predictions" not in ops
    assert "later__predictions" in both.resolve_job_def("later_daily").graph.node_dict
    (schedule,) = (each for each in both.get_repository_def().schedule_defs if each.name == "later_every_morning")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 7 * * 1", "later_daily")


def test_the_page_about_all_classifiers_comes_after_their_reports(definitions: dg.Definitions) -> None:
    overview = list_assets(definitions)[OF_ALL]
    above = {dep.asset_key.to_user_string() for dep in overview.deps}
    assert above == {"daily_report", "damage/daily_report"}
    assert overview.group_name == "overview", "so that no group of the lineage comes both before and after another"
    assert OF_ALL in definitions.resolve_job_def("daily").graph.node_dict
    assert OF_ALL not in definitions.resolve_job_def("damage_daily").graph.node_dict


def test_the_launchpad_shows_the_defaults_of_the_question(definitions: dg.Definitions) -> None:
    def defaults(*asset: str) -> dict:
        schema = definitions.resolve_assets_def(dg.AssetKey(asset)).op.config_schema.config_type
        return {name: field.default_value for name, field in schema.fields.items() if field.default_provided}

    assert defaults("damage", "classifier_candidate")["head"] == "naive_bayes"
    assert defaults("damage", "classifier_candidate")["grid"] == {"smoothing": [0.5, 1.0]}
    assert defaults("classifier_candidate")["head"] == "auto"
    assert defaults("damage", "classifier_candidate")["seed"] == defaults("classifier_candidate")["seed"]


def test_the_settings_of_a_question_are_its_own(definitions: dg.Definitions) -> None:
    assert definitions.resources["damage__settings"].thresholds.accuracy == 0.7
    assert definitions.resources["settings"].thresholds.accuracy == 0.8
    assert definitions.resources["damage__landing_zone"].labels == {"torn": "damaged"}
    assert list_assets(definitions)["damage/predictions"].owners == ("team:returns",)


def test_what_is_shared_exists_once(definitions: dg.Definitions) -> None:
    assert {name for name in list_assets(definitions) if name in SHARED} == OF_BOTH | {OF_ALL}
    dg.Definitions.validate_loadable(definitions)
