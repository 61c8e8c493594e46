"""The path of a click: the webserver's schema, a workspace, an instance, a run, and its page."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS, MakePhoto
from dagster import DagsterInstance, instance_for_test
from dagster_graphql.schema import create_schema
from deployment import DAY, Deployment
from private_dagster import (
    InProcessCodeLocationOrigin,
    InProcessWorkspaceLoadTarget,
    LoadableTargetOrigin,
    WorkspaceProcessContext,
)
from pyspark.sql import SparkSession
from web_pages import WebPages

pytestmark = pytest.mark.slow

TRAINING = (
    "reviews",
    "training_images",
    "backbone",
    "training_features",
    "near_duplicates",
    "training_split",
    "classifier_candidate",
    "classifier",
)
IN_THIS_PROCESS = {
    "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"},
    "run_launcher": {"module": "run_launcher", "class": "ThreadRunLauncher"},
}
"""Runs end before their launch returns, and share the tests' Spark session."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, make_photo: MakePhoto) -> Iterator[WebPages]:
    deployment = Deployment(tmp_path_factory.mktemp("pages"), DAYLIGHT_MAX_REJECTED_SHARE="0.1")
    deployment.lay_out(make_photo, labelled=12)
    for colour in COLOURS:
        (deployment.folder(DAY) / f"{colour}.jpg").write_bytes(make_photo(colour, 1000))
    with (
        deployment.entered(),
        instance_for_test(overrides=IN_THIS_PROCESS, temp_dir=str(deployment.root)) as instance,
        open_workspace(instance) as workspace,
    ):
        yield WebPages(asker(workspace))


def open_workspace(instance: DagsterInstance) -> WorkspaceProcessContext:
    """Loads the code location into this process."""
    module = LoadableTargetOrigin(module_name="assets.definitions")
    origin = InProcessCodeLocationOrigin(module, location_name="daylight")
    return WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin))


def asker(workspace: WorkspaceProcessContext) -> Any:
    schema = create_schema()

    def ask(query: str, **variables: object) -> dict[str, Any]:
        request = workspace.create_request_context()
        answer = asyncio.run(schema.execute_async(query, context_value=request, variable_values=variables))
        assert not answer.errors, answer.errors
        return answer.data

    return ask


@pytest.fixture(scope="module")
def trained(pages: WebPages) -> str:
    """Id of a training run without `label_issues`, with less work through the launchpad's config."""
    quick = {"ops": {"classifier_candidate": {"config": {"calibration_folds": 2, "folds": 2}}}}
    return pages.launch_run(*TRAINING, config=quick)


@pytest.fixture(scope="module")
def predicted(pages: WebPages, trained: str) -> str:
    return pages.launch_run("images", "image_features", "predictions", "drift", "review_queue", "review_form", day=DAY)


def metadata_of(pages: WebPages, run_id: str, asset: str) -> dict[str, Any]:
    (event,) = [
        event for event in pages.events_of(run_id, "MaterializationEvent") if event["assetKey"]["path"] == [asset]
    ]
    values = ("intValue", "floatValue", "mdStr")
    return {
        entry["label"]: next(entry[value] for value in values if value in entry)
        for entry in event["metadataEntries"]
        if set(values) & set(entry)
    }


def test_a_launched_training_promotes_its_candidate(pages: WebPages, trained: str) -> None:
    assert pages.status_of(trained) == "SUCCESS", pages.events_of(trained, "ExecutionStepFailureEvent")
    assert pages.maker_of("classifier") == trained
    checks = [event["evaluation"] for event in pages.events_of(trained, "AssetCheckEvaluationEvent")]
    assert {check["checkName"]: check["success"] for check in checks}["candidate_reaches_the_accuracy_floor"]
    assert metadata_of(pages, trained, "classifier_candidate")["accuracy"] == 1.0


def test_a_launched_day_shows_numbers_images_and_checks(pages: WebPages, predicted: str) -> None:
    assert pages.status_of(predicted) == "SUCCESS", pages.events_of(predicted, "ExecutionStepFailureEvent")
    metadata = metadata_of(pages, predicted, "predictions")
    assert metadata["dagster/partition_row_count"] == len(COLOURS)
    assert metadata["contact_sheet"].startswith(f"![contact_sheet](../logs/{predicted}/")
    checks = [event["evaluation"] for event in pages.events_of(predicted, "AssetCheckEvaluationEvent")]
    assert {check["checkName"] for check in checks if check["success"]} == {
        "every_file_has_a_prediction_or_a_reason",
        "rejected_files_are_few",
        "images_resemble_the_training_set",
        "labels_are_distributed_as_on_the_holdout",
    }


def test_a_failed_day_shows_which_check_failed_and_why(pages: WebPages, predicted: str, make_photo: MakePhoto) -> None:
    (Path("landing") / "days" / DAY / "no image.jpg").write_bytes(b"no image")
    run_id = pages.launch_run("images", "image_features", "predictions", "review_queue", day=DAY)
    assert pages.status_of(run_id) == "FAILURE"
    failed = {
        event["evaluation"]["checkName"]: event["evaluation"]["description"]
        for event in pages.events_of(run_id, "AssetCheckEvaluationEvent")
        if not event["evaluation"]["success"]
    }
    assert set(failed) == {"rejected_files_are_few", "every_due_day_has_predictions"}
    assert f"{DAY} (1 of 4 rejected)" in failed["rejected_files_are_few"]
    assert "Launch the job daily" in failed["every_due_day_has_predictions"], "a backfill does not hide yesterday"
    assert pages.maker_of("review_queue") == predicted, "nobody is sent a day that is red"


def test_a_missing_day_fails(pages: WebPages) -> None:
    assert pages.status_of(pages.launch_run("images", day="2019-01-01")) == "FAILURE"
