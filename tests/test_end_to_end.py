"""The whole asset graph as a user runs it: real jobs, backbone and files on a real Dagster instance."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from conftest import COLOURS, MakePhoto
from deltalake import DeltaTable
from PIL import Image
from pyspark.sql import SparkSession
from sidecars import copy_from_a_mac

from assets.definitions import build_definitions
from pipeline.daily.trace_text import format_trace
from resources.image_traces import ImageTraces
from resources.instance.day_tags import tag_days
from resources.settings import Settings, read_settings

DAILY_TABLES = {"images", "image_features", "predictions", "drift", "review_queue"}
FULL, EMPTY, LAST = "2026-11-20", "2026-11-21", "2026-11-22"
MAC, SIDECARS, RESENT = "2026-11-23", "2026-11-24", "2026-11-25"
ALONE = "2026-10-01"
BROKEN = 3


class Deployment:
    """A landing zone, a lake and a Dagster instance in one folder."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance

    def run(self, job: str, *days: str, config: dict | None = None, **changes: object) -> dg.ExecuteInProcessResult:
        """Runs a job; `changes` override settings."""
        tags = tag_days(days)
        definitions = build_definitions(self.settings.replace(**changes))
        ops = {"ops": {"classifier_candidate": {"config": config}}} if config else {}
        return definitions.resolve_job_def(job).execute_in_process(
            run_config=ops, instance=self.instance, tags=tags, raise_on_error=False
        )

    def rows(self, table: str, day: str) -> list[dict]:
        """Reads the rows of a day with delta-rs, without Daylight."""
        delta = DeltaTable(Path(self.settings.lake, table))
        return delta.to_pyarrow_table(filters=[("day", "=", date.fromisoformat(day))]).to_pylist()

    def pointer(self) -> dict:
        """Reads the pointer to the promoted classifier."""
        return json.loads(Path(self.settings.lake, "models", "classifier.json").read_text())

    def day_folder(self, day: str) -> Path:
        """Returns the landing folder of a day."""
        return Path(self.settings.landing, "days", day)


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, training_folder: Path, make_photo: MakePhoto
) -> Iterator[Deployment]:
    root = tmp_path_factory.mktemp("deployment")
    settings = read_settings().replace(
        landing=str(root / "landing"),
        training=str(training_folder),
        lake=str(root / "lake"),
        max_rejected_share=0.5,
    )
    for day in (FULL, EMPTY, LAST, ALONE):
        (root / "landing" / "days" / day).mkdir(parents=True)
    for number, colour in enumerate(COLOURS):
        content = make_photo(colour, 1000 + number)
        (root / "landing" / "days" / FULL / f"{colour}.jpg").write_bytes(content)
        (root / "landing" / "days" / FULL / f"_{colour} again.JPG").write_bytes(content)
        (root / "landing" / "days" / FULL / f"broken {colour}.jpg").write_bytes(content[: 400 + number])
        (root / "landing" / "days" / LAST / f"{colour}.jpg").write_bytes(make_photo(colour, 2000 + number))
    with dg.instance_for_test(temp_dir=str(root)) as instance:
        yield Deployment(settings, instance)


@pytest.fixture(scope="module")
def trained(deployment: Deployment) -> dg.ExecuteInProcessResult:
    result = deployment.run("training")
    assert result.success, failures(result)
    return result


@pytest.fixture(scope="module")
def predicted(deployment: Deployment, trained: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    result = deployment.run("daily", FULL, EMPTY, LAST)
    assert result.success, failures(result)
    return result


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    return [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]


def metadata(result: dg.ExecuteInProcessResult, asset: str, day: str | None = None) -> dict:
    (event,) = [each for each in result.asset_materializations_for_node(asset) if day is None or each.partition == day]
    return {name: value.value for name, value in event.metadata.items()}


def data_version(deployment: Deployment, asset: str) -> str:
    record = deployment.instance.get_latest_data_version_record(dg.AssetKey(asset))
    assert record is not None
    materialization = record.asset_materialization
    assert materialization is not None
    return str((materialization.tags or {})["dagster/data_version"])


def test_training_promotes_a_classifier_of_its_backbone(
    deployment: Deployment, trained: dg.ExecuteInProcessResult
) -> None:
    backbone = metadata(trained, "backbone")
    assert backbone["licence"] == "Apache-2.0"
    assert backbone["why"].startswith(f"{backbone['precision']}: "), "the choice gives its reason"
    assert backbone["smallest_cosine"] >= {"fp32": 0.9999, "int8": 0.9}[backbone["precision"]]
    assert data_version(deployment, "backbone") == backbone["digest"]
    candidate = metadata(trained, "classifier_candidate")
    assert candidate["accuracy"] == 1.0
    assert "red" in candidate["confusion_matrix"]
    assert deployment.pointer() == {"classifier": data_version(deployment, "classifier")}
    assert all(check.passed for check in trained.get_asset_check_evaluations())
    assert len(trained.get_asset_check_evaluations()) == 13
    graph = Path(
        deployment.settings.lake, "models", "classifier", deployment.pointer()["classifier"], "classifier.onnx"
    )
    assert graph.exists(), "the file to deploy"


def test_every_file_of_a_day_has_a_row_in_images_and_in_predictions(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult
) -> None:
    files = sorted(path.name for path in deployment.day_folder(FULL).iterdir())
    predictions = deployment.rows("predictions", FULL)
    assert sorted(row["path"] for row in deployment.rows("images", FULL)) == files
    assert sorted(row["path"] for row in predictions) == files
    rejected = [row for row in predictions if row["decision"] == "rejected"]
    assert len(rejected) == BROKEN
    assert all(row["error"] and row["predicted_label"] is None for row in rejected)
    predicted_rows = [row for row in predictions if row["predicted_label"]]
    assert all(row["predicted_label"] in row["path"] for row in predicted_rows)
    assert len(deployment.rows("image_features", FULL)) == len(COLOURS) + BROKEN


def test_a_day_with_too_many_rejected_files_fails_and_keeps_all_its_rows(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult
) -> None:
    before = deployment.rows("predictions", FULL)
    result = deployment.run("daily", FULL, max_rejected_share=0.3)
    assert not result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["every_file_has_a_prediction_or_a_reason"].passed
    assert not checks["rejected_files_are_few"].passed
    assert f"{FULL} (3 of 9 rejected)" in checks["rejected_files_are_few"].description
    assert not result.asset_materializations_for_node("review_queue"), "a failed day is not queued for review"
    assert sorted(map(str, deployment.rows("predictions", FULL))) == sorted(map(str, before))


def test_a_day_copied_from_a_mac_is_green_and_so_is_a_day_of_sidecars_alone(
    deployment: Deployment, trained: dg.ExecuteInProcessResult, make_photo: MakePhoto
) -> None:
    photos = {f"{seed}.jpg": make_photo("red", 4000 + seed) for seed in range(6)}
    copy_from_a_mac(deployment.day_folder(MAC), photos)
    copy_from_a_mac(deployment.day_folder(MAC) / "__MACOSX", {})
    copy_from_a_mac(deployment.day_folder(SIDECARS), {})
    result = deployment.run("daily", MAC, SIDECARS, max_rejected_share=0.0)
    assert result.success, failures(result)
    predictions = deployment.rows("predictions", MAC)
    assert sorted(row["path"] for row in predictions if row["predicted_label"]) == sorted(photos)
    assert {(row["decision"], row["error"]) for row in predictions if not row["predicted_label"]} == {
        ("rejected", "sidecar file")
    }
    assert len(predictions) == len(deployment.rows("images", MAC)) == 14
    counts = metadata(result, "predictions", MAC)
    assert (counts["rejected_count"], counts["sidecar_count"]) == (0, 8)
    assert metadata(result, "images", SIDECARS)["sidecar_count"] == 1
    assert "No images arrived" in Path(metadata(result, "daily_report", SIDECARS)["page"]).read_text()
    assert "8 sidecar files" in Path(metadata(result, "daily_report", MAC)["page"]).read_text()
    arrived = ImageTraces(deployment.settings.lake).find(f"{MAC}/.DS_Store")
    assert "none: it is a sidecar file" in format_trace(arrived)


def test_every_day_of_a_multi_day_run_has_its_own_counts(predicted: dg.ExecuteInProcessResult) -> None:
    for asset in ("images", "predictions"):
        counts = {day: metadata(predicted, asset, day)["dagster/partition_row_count"] for day in (FULL, EMPTY, LAST)}
        assert counts == {FULL: 9, EMPTY: 0, LAST: 3}
    assert metadata(predicted, "predictions", FULL)["rejected_count"] == BROKEN
    assert metadata(predicted, "predictions", LAST)["rejected_count"] == 0


def test_an_empty_day_is_materialized_with_a_note(deployment: Deployment, predicted: dg.ExecuteInProcessResult) -> None:
    assert metadata(predicted, "predictions", EMPTY)["note"] == "no images on this day"
    assert deployment.rows("predictions", EMPTY) == []


def test_an_empty_day_alone_is_green(deployment: Deployment, trained: dg.ExecuteInProcessResult) -> None:
    result = deployment.run("daily", ALONE)
    assert result.success, failures(result)
    assert deployment.rows("predictions", ALONE) == []
    (row,) = deployment.rows("difficulty", ALONE)
    assert (row["image_count"], row["state"], row["threshold"]) == (0, "unknown", None)


def test_what_a_decision_rests_on_is_in_every_prediction(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult
) -> None:
    (found,) = deployment.rows("difficulty", FULL)
    assert (found["image_count"], found["state"]) == (3, "unknown"), "a first small day cannot be estimated"
    for row in deployment.rows("predictions", FULL):
        assert (row["threshold"], row["day_accuracy"]) == (found["threshold"], found["accuracy"])
        assert row["decision"] != "answered"


def test_days_with_few_images_are_reported_as_too_small_for_drift(predicted: dg.ExecuteInProcessResult) -> None:
    checks = {check.check_name: check for check in predicted.get_asset_check_evaluations()}
    for name in ("images_resemble_the_training_set", "labels_are_distributed_as_on_the_holdout"):
        assert checks[name].passed
        assert checks[name].metadata["days"].value.count("the day has fewer than 20") == 3


def test_the_metadata_of_a_day_shows_its_images(deployment: Deployment, predicted: dg.ExecuteInProcessResult) -> None:
    link = metadata(predicted, "predictions", FULL)["contact_sheet"]
    assert link.startswith(f"![contact_sheet](../logs/{predicted.run_id}/")
    assert len(link) < 1000, "the UI collapses longer Markdown"
    *folders, extension = link.removesuffix(")").split("/logs/")[1].split("/")
    base = deployment.instance.compute_log_manager.get_captured_local_path(folders, extension)
    assert Path(base).read_bytes().startswith(b"\xff\xd8")


def test_every_table_describes_its_columns_and_their_lineage(
    trained: dg.ExecuteInProcessResult, predicted: dg.ExecuteInProcessResult
) -> None:
    training = ("training_images", "training_features", "near_duplicates", "training_split", "label_issues", "reviews")
    tables = {asset: metadata(trained, asset) for asset in training}
    tables |= {asset: metadata(predicted, asset, LAST) for asset in sorted(DAILY_TABLES)}
    for asset, each in tables.items():
        assert all(column.description for column in each["dagster/column_schema"].columns), asset
        assert each["dagster/column_lineage"].deps_by_column or asset == "images", asset


def test_every_day_has_its_report(predicted: dg.ExecuteInProcessResult) -> None:
    reports = {day: metadata(predicted, "daily_report", day) for day in (FULL, EMPTY, LAST)}
    for day, report in reports.items():
        page = Path(report["page"])
        assert page.name == f"{day}.html"
        assert page.stat().st_size == pytest.approx(1000 * report["kilobytes"], abs=1)
    assert "No images arrived" in Path(reports[EMPTY]["page"]).read_text()
    full = Path(reports[FULL]["page"]).read_text()
    assert "9 files arrived" in full
    assert "newly embedded" in full, "the same run recorded its cost"


def test_a_predicted_image_and_a_training_image_are_traced(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult
) -> None:
    traces, version = ImageTraces(deployment.settings.lake), deployment.pointer()["classifier"]
    prediction_trace = traces.find(f"/landing/days/{FULL}/red.jpg")
    assert {row["path"] for row in prediction_trace.predictions} == {"red.jpg", "_red again.JPG"}
    assert {row["classifier"] for row in prediction_trace.predictions} == {version}
    assert prediction_trace.seen_by == []
    training_trace = traces.find("red/0.jpg")
    assert [each.version for each in training_trace.seen_by] == [version]
    assert training_trace.classifiers[0].state == "in use"
    assert sum(row["file_count"] for row in prediction_trace.classifiers[0].counts) == 30 * len(COLOURS)


def test_rerunning_a_day_replaces_only_that_day(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult, make_photo: MakePhoto
) -> None:
    before = deployment.rows("predictions", FULL)
    late = deployment.day_folder(LAST) / "late.jpg"
    late.write_bytes(make_photo("blue", 3000))
    assert deployment.run("daily", LAST).success
    assert len(deployment.rows("predictions", LAST)) == 4
    assert deployment.rows("predictions", FULL) == before
    late.unlink()
    assert deployment.run("daily", LAST).success
    assert len(deployment.rows("predictions", LAST)) == 3


def test_an_image_that_was_sent_on_an_earlier_day_names_it_after_every_run_and_is_counted(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult, make_photo: MakePhoto
) -> None:
    folder = deployment.day_folder(RESENT)
    folder.mkdir()
    with Image.open(deployment.day_folder(FULL) / "red.jpg") as image:
        image.save(folder / "as.png")
        image.resize((96, 80)).save(folder / "larger.jpg", quality=70)
    (folder / "new.jpg").write_bytes(make_photo("red", 4000))
    (first,) = {row["image_id"] for row in deployment.rows("predictions", FULL) if row["path"] == "red.jpg"}
    for _ in range(2):
        result = deployment.run("daily", RESENT)
        assert result.success, failures(result)
        found = {row["path"]: row["near_duplicate_of"] for row in deployment.rows("predictions", RESENT)}
        assert found == {"as.png": first, "larger.jpg": first, "new.jpg": None}
        sentence = "2 files are images of this day or the 31 days before in another encoding or size"
        assert metadata(result, "predictions", RESENT)["near_duplicates"].startswith(sentence)
        assert sentence in Path(metadata(result, "daily_report", RESENT)["page"]).read_text()


def test_retraining_on_the_same_images_changes_no_version(
    deployment: Deployment, trained: dg.ExecuteInProcessResult
) -> None:
    before = {asset: data_version(deployment, asset) for asset in ("backbone", "classifier_candidate", "classifier")}
    assert deployment.run("training").success
    assert {asset: data_version(deployment, asset) for asset in before} == before


def test_a_candidate_below_the_floor_is_not_promoted_and_the_old_classifier_keeps_predicting(
    deployment: Deployment, predicted: dg.ExecuteInProcessResult, tmp_path: Path, make_photo: MakePhoto
) -> None:
    promoted = deployment.pointer()
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for seed in range(20):
            (tmp_path / label / f"{seed}.jpg").write_bytes(make_photo("red", seed + 100 * (label == "cat")))
    result = deployment.run("training", training=str(tmp_path), accuracy_floor=0.99)
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert "candidate_reaches_the_accuracy_floor" in {check.check_name for check in failed}
    assert any("DAYLIGHT_ACCURACY_FLOOR" in (check.description or "") for check in failed)
    assert result.asset_materializations_for_node("classifier") == []
    assert deployment.pointer() == promoted
    assert deployment.run("daily", LAST).success
    assert {row["classifier"] for row in deployment.rows("predictions", LAST)} == {promoted["classifier"]}


def test_a_candidate_worse_than_the_current_classifier_is_not_promoted(
    deployment: Deployment, trained: dg.ExecuteInProcessResult
) -> None:
    promoted = deployment.pointer()
    result = deployment.run("training", config={"params": {"regParam": 1e6}}, accuracy_floor=0.0)
    assert not result.success
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert "candidate_is_better_than_the_classifier" in failed
    assert deployment.pointer() == promoted


def test_a_day_without_a_folder_fails_and_names_the_folder_and_the_variable(
    deployment: Deployment, trained: dg.ExecuteInProcessResult
) -> None:
    result = deployment.run("daily", "2026-11-19")
    assert not result.success
    (text,) = failures(result)
    assert str(deployment.day_folder("2026-11-19")) in text
    assert "DAYLIGHT_LANDING" in text


def test_a_day_that_goes_on_is_extended_and_its_queue_only_grows(
    deployment: Deployment, trained: dg.ExecuteInProcessResult, make_photo: MakePhoto
) -> None:
    today = str(datetime.now(UTC).date())
    folder, images = deployment.day_folder(today), Path(deployment.settings.lake, "images")
    folder.mkdir(parents=True)
    stored, queued = set[str](), set[str]()
    for photo_count in (0, 4, 4, 8, 20):
        for number in range(photo_count):
            file = folder / f"{number}.jpg"
            if not file.exists():
                file.write_bytes(make_photo(list(COLOURS)[number % len(COLOURS)], 9000 + number))
        assert deployment.run("daily", today, audit_min=2).success
        names = [row["path"] for row in deployment.rows("images", today)]
        assert sorted(names) == sorted(file.name for file in folder.iterdir())
        assert sorted(row["path"] for row in deployment.rows("predictions", today)) == sorted(names)
        assert len(deployment.rows("image_features", today)) == photo_count
        files = {uri for uri in DeltaTable(images).file_uris() if f"day={today}" in uri}
        queue = {row["image_id"] for row in deployment.rows("review_queue", today)}
        assert stored <= files, "what was stored is not written again"
        assert queued <= queue, "an image leaves no queue"
        stored, queued = files, queue
    (folder / "0.jpg").write_bytes(make_photo("green", 9999))
    assert deployment.run("daily", today).success
    assert len({row["image_id"] for row in deployment.rows("images", today)}) == 20, "a changed file is read again"
    assert len(deployment.rows("predictions", today)) == len(deployment.rows("image_features", today)) == 20


def test_predicting_without_a_classifier_fails(
    deployment: Deployment, trained: dg.ExecuteInProcessResult, tmp_path: Path
) -> None:
    models = Path(deployment.settings.lake, "models")
    shutil.copytree(models / "backbone", tmp_path / "models" / "backbone")
    shutil.copy(models / "backbone.json", tmp_path / "models")
    result = deployment.run("daily", LAST, lake=str(tmp_path))
    assert not result.success
    (text,) = failures(result)
    assert "materialize classifier first" in text
