import os
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

import assets
import pipeline
import resources
from assets.daily import make_every_morning
from assets.definitions import build_definitions
from resources.instance.executor import run_executor
from resources.question import Question
from resources.settings import Settings, read_settings
from resources.spark.session import POOL

ROOT = Path(__file__).parents[2]
TRAINING = {
    "backbone",
    "training_images",
    "training_features",
    "classifier_candidate",
    "classifier",
    "label_issues",
    "reviews",
    "near_duplicates",
    "training_split",
    "precision_measurement",
}
DAILY = {
    "images",
    "image_features",
    "difficulty",
    "predictions",
    "drift",
    "review_queue",
    "review_form",
    "daily_report",
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(read_settings())


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_the_code_location_loads(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_assets_are_those_of_the_design(specs: dict[str, dg.AssetSpec]) -> None:
    assert {name for name, spec in specs.items() if spec.group_name == "training"} == TRAINING
    assert {name for name, spec in specs.items() if spec.group_name == "daily"} == DAILY


def test_lineage_is_that_of_the_design(specs: dict[str, dg.AssetSpec]) -> None:
    edges = {(dep.asset_key.to_user_string(), name) for name, spec in specs.items() for dep in spec.deps}
    assert edges == {
        ("training_images", "training_features"),
        ("training_images", "backbone"),
        ("training_images", "precision_measurement"),
        ("precision_measurement", "backbone"),
        ("backbone", "training_features"),
        ("training_features", "classifier_candidate"),
        ("training_images", "classifier_candidate"),
        ("training_images", "label_issues"),
        ("near_duplicates", "label_issues"),
        ("training_split", "label_issues"),
        ("training_images", "near_duplicates"),
        ("training_features", "near_duplicates"),
        ("training_images", "training_split"),
        ("near_duplicates", "training_split"),
        ("training_split", "classifier_candidate"),
        ("training_split", "review_queue"),
        ("training_split", "difficulty"),
        ("training_features", "label_issues"),
        ("classifier_candidate", "label_issues"),
        ("backbone", "classifier_candidate"),
        ("classifier_candidate", "classifier"),
        ("backbone", "image_features"),
        ("images", "image_features"),
        ("images", "predictions"),
        ("image_features", "predictions"),
        ("image_features", "difficulty"),
        ("classifier", "difficulty"),
        ("difficulty", "predictions"),
        ("difficulty", "daily_report"),
        ("classifier", "predictions"),
        ("images", "review_queue"),
        ("training_images", "contenders"),
        ("predictions", "review_queue"),
        ("image_features", "review_queue"),
        ("training_features", "review_queue"),
        ("review_queue", "review_form"),
        ("predictions", "daily_report"),
        ("review_queue", "daily_report"),
        ("images", "daily_report"),
        ("images", "drift"),
        ("training_features", "difficulty"),
        ("difficulty", "drift"),
        ("predictions", "drift"),
        ("drift", "review_queue"),
        ("drift", "daily_report"),
        ("reviews", "training_images"),
    }


def test_every_asset_describes_itself_in_one_plain_sentence(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        first_line = (spec.description or "").split("\n")[0]
        assert first_line.endswith("."), name
        assert not set("*`_#[") & set(first_line), name
        assert spec.owners, name
        assert spec.kinds, name


def test_daily_assets_have_days_and_backfill_in_one_run(definitions: dg.Definitions) -> None:
    for name in DAILY:
        asset = definitions.resolve_assets_def(name)
        assert isinstance(asset.partitions_def, dg.DailyPartitionsDefinition)
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()
    for name in TRAINING:
        assert definitions.resolve_assets_def(name).partitions_def is None


def test_there_is_a_partition_for_every_day_up_to_today(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_assets_def("images").partitions_def.get_partition_keys()
    assert keys[0] == "2026-01-01"
    assert keys[-1] == datetime.now(UTC).date().isoformat()


def test_bad_candidates_backbones_and_days_are_stopped_by_blocking_checks(definitions: dg.Definitions) -> None:
    keys = {
        (spec.asset_key.to_user_string(), spec.name): spec.blocking
        for check in definitions.asset_checks or []
        for spec in check.check_specs
    }
    assert keys == {
        ("backbone", "backbone_matches_its_network"): True,
        ("backbone", "backbone_recognises_known_photos"): True,
        ("backbone", "int8_costs_little"): False,
        ("classifier_candidate", "candidate_reaches_the_accuracy_floor"): True,
        ("classifier_candidate", "candidate_is_judged_on_the_same_holdout"): True,
        ("classifier_candidate", "candidate_is_better_than_the_classifier"): True,
        ("classifier_candidate", "candidate_finds_every_class"): True,
        ("classifier_candidate", "candidate_keeps_every_class"): True,
        ("classifier_candidate", "candidate_is_calibrated"): True,
        ("classifier_candidate", "candidate_costs_little_more"): True,
        ("classifier_candidate", "candidate_was_not_withdrawn"): True,
        ("classifier_candidate", "end_to_end_graph_matches_the_classifier"): True,
        ("predictions", "every_file_has_a_prediction_or_a_reason"): True,
        ("predictions", "rejected_files_are_few"): True,
        ("predictions", "every_due_day_has_predictions"): False,
        ("reviews", "every_answer_is_used"): False,
        ("difficulty", "days_are_as_easy_as_the_training_set"): False,
        ("drift", "images_resemble_the_training_set"): False,
        ("drift", "labels_are_distributed_as_on_the_holdout"): False,
    }


def test_definitions_follow_the_settings_they_are_built_from() -> None:
    settings = Settings().replace(start_day=date(2026, 2, 3), backbone="resnet50", precision="fp32")
    built = build_definitions(settings)
    for name in DAILY:
        assert built.resolve_assets_def(name).partitions_def.get_first_partition_key() == "2026-02-03"
    assert built.resolve_job_def("daily").partitions_def.get_first_partition_key() == "2026-02-03"
    assert built.resolve_assets_def("backbone").code_versions_by_key == {dg.AssetKey("backbone"): "resnet50 fp32"}
    assert built.resources["settings"] is settings


def test_nothing_reads_the_environment_at_import() -> None:
    code = "import assets.definitions, assets.daily.predictions, assets.training.backbone"
    broken = {"PATH": os.environ["PATH"], "DAYLIGHT_START_DAY": "never", "DAYLIGHT_NO_SUCH_SETTING": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=broken)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("zone", "at", "yesterday"),
    [
        ("UTC", datetime(2026, 3, 1, 4, 15, tzinfo=UTC), "2026-02-28"),
        ("Asia/Tokyo", datetime(2026, 3, 1, 19, 15, tzinfo=UTC), "2026-03-01"),
        ("America/New_York", datetime(2026, 3, 2, 9, 15, tzinfo=UTC), "2026-03-01"),
    ],
)
def test_every_morning_asks_for_yesterday_in_its_time_zone(zone: str, at: datetime, yesterday: str) -> None:
    schedule = make_every_morning(Question(Settings().replace(time_zone=zone)))
    assert schedule.execution_timezone == zone
    request = schedule(dg.build_schedule_context(scheduled_execution_time=at))
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (yesterday, yesterday)


def test_days_are_those_of_the_time_zone() -> None:
    built = build_definitions(Settings().replace(time_zone="Pacific/Kiritimati"))
    assert built.resolve_assets_def("images").partitions_def.timezone == "Pacific/Kiritimati"


def test_missing_days_are_not_judged_by_the_run_of_a_day(definitions: dg.Definitions) -> None:
    ops = definitions.resolve_job_def("daily").graph.node_dict
    assert "predictions_rejected_files_are_few" in ops
    assert "predictions_every_due_day_has_predictions" not in ops


def test_one_run_is_one_process(definitions: dg.Definitions) -> None:
    assert definitions.executor is run_executor


WITHOUT_SPARK = {"predictions_every_due_day_has_predictions"}


def test_jobs_with_spark_share_a_pool_and_housekeeping_does_not(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        pools = {pool for node in job.all_node_defs if isinstance(node, dg.OpDefinition) for pool in node.pools}
        assert pools == (set() if job.name == "housekeeping" else {POOL}), job.name
        ops = [node for node in job.all_node_defs if isinstance(node, dg.OpDefinition)]
        free = {op.name for op in ops if not op.pools}
        assert free <= WITHOUT_SPARK or job.name == "housekeeping", job.name


def test_the_instance_runs_one_spark_job_at_a_time_and_retries_crashes_only() -> None:
    instance = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    assert instance["concurrency"]["pools"] == {"default_limit": 1, "granularity": "run"}
    assert instance["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_dg_and_the_workspace_load_the_same_location() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    project = pyproject["tool"]["dg"]["project"]
    assert project["code_location_target_module"] == location["python_module"]["module_name"]
    assert project["code_location_name"] == location["python_module"]["location_name"]
    assert "dagster" not in pyproject["tool"], "[tool.dagster] would win over workspace.yaml in silence"


def test_the_packages_are_imported_from_this_project() -> None:
    for package in (assets, pipeline, resources):
        assert Path(str(package.__file__)).parent.parent == ROOT


def test_the_executor_path_imports_neither_dagster_nor_tensorflow() -> None:
    code = "import pipeline.images.features, pipeline.storage.parquet_writer, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"dagster", "tensorflow", "keras", "deltalake"} & set(done.stdout.split())


def test_the_postgresql_instance_differs_only_in_its_storage() -> None:
    sqlite, postgresql = (
        yaml.safe_load((ROOT / name).read_text()) for name in ("dagster.yaml", "docs/dagster-postgresql.yaml")
    )
    storage = postgresql.pop("storage")["postgres"]["postgres_db"]
    assert postgresql == {name: value for name, value in sqlite.items() if name != "storage"}
    assert storage["password"] == {"env": "DAGSTER_POSTGRES_PASSWORD"}, "no secret in a file"
