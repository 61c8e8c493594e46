"""Two classifiers of the same images, from training to roll-back: what they share, and what neither changes."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from conftest import COLOURS, MakePhoto, make_tiny_deployment
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from assets.commands.forget import find_image, forget
from assets.components import ImageClassifier
from assets.definitions import build_definitions
from resources.image_traces import ImageTraces
from resources.instance.day_tags import tag_days
from resources.lake.lake import Lake
from resources.question import Question
from resources.settings import Settings

pytestmark = pytest.mark.slow  # two trainings and three days
DAY = "2026-11-20"
WARM = {"red": "warm", "green": "cold", "blue": "cold"}
COMPARED = ("images", "image_features", "predictions", "drift", "difficulty", "review_queue")


class Deployment:
    """A deployment that asks which colour an image has, and whether that is warm."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.warm = ImageClassifier(name="warm", training=settings.training, labels=WARM).make_question(settings)

    def run(
        self, job: str, *days: str, questions: tuple[Question, ...] = (), config: dict | None = None
    ) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.settings, questions)
        result = definitions.resolve_job_def(job).execute_in_process(
            run_config={"ops": config or {}}, instance=self.instance, tags=tag_days(days), raise_on_error=False
        )
        assert result.success, [str(each.step_failure_data.error) for each in result.all_events if each.is_step_failure]
        return result

    def rows(self, table: str) -> list[dict[str, Any]]:
        delta = DeltaTable(Path(self.settings.lake, table))
        rows = delta.to_pyarrow_table(filters=[("day", "=", date.fromisoformat(DAY))]).to_pylist()
        return sorted(rows, key=str)

    def version(self, *asset: str) -> str:
        record = self.instance.get_latest_data_version_record(dg.AssetKey(asset))
        assert record
        assert record.asset_materialization
        return str((record.asset_materialization.tags or {})["dagster/data_version"])


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, training_folder: Path, make_photo: MakePhoto
) -> Iterator[Deployment]:
    root = tmp_path_factory.mktemp("questions")
    settings = make_tiny_deployment(root).replace(training=str(training_folder))
    day = root / "landing" / "days" / DAY
    day.mkdir(parents=True)
    for number in range(30):
        colour = list(COLOURS)[number % 3]
        (day / f"{number}.jpg").write_bytes(make_photo(colour, 1000 + number))
    with dg.instance_for_test(temp_dir=str(root)) as instance:
        yield Deployment(settings, instance)


@pytest.fixture(scope="module")
def alone(deployment: Deployment) -> dict[str, list[dict[str, Any]]]:
    """The tables of the day before there was another question."""
    deployment.run("training")
    deployment.run("daily", DAY)
    return {table: deployment.rows(table) for table in COMPARED}


@pytest.fixture(scope="module")
def asked(deployment: Deployment, alone: object) -> dg.ExecuteInProcessResult:
    """The training of the further classifier."""
    return deployment.run("warm_training", questions=(deployment.warm,))


@pytest.fixture(scope="module")
def predicted(deployment: Deployment, asked: object) -> dg.ExecuteInProcessResult:
    """The day, predicted by both in one run."""
    return deployment.run("daily", DAY, questions=(deployment.warm,))


def test_no_image_is_embedded_again(asked: dg.ExecuteInProcessResult, predicted: dg.ExecuteInProcessResult) -> None:
    for result, node in ((asked, "warm__training_features"), (predicted, "image_features")):
        (event,) = result.asset_materializations_for_node(node)
        assert event.metadata["embedded_count"].value == 0
        assert event.metadata["cache_hit_count"].value > 0


def test_the_tables_of_the_deployments_own_question_stay_equal(
    deployment: Deployment, alone: dict[str, list[dict[str, Any]]], predicted: object
) -> None:
    for table, rows in alone.items():
        assert deployment.rows(table) == rows, table


def test_each_classifier_answers_its_own_question_about_every_file(deployment: Deployment, predicted: object) -> None:
    own, other = deployment.rows("predictions"), deployment.rows("warm/predictions")
    assert [row["path"] for row in own] == [row["path"] for row in other]
    by_path = {row["path"]: row["predicted_label"] for row in own}
    assert {WARM[by_path[row["path"]]] == row["predicted_label"] for row in other} == {True}
    assert {row["classifier"] for row in other}.isdisjoint(row["classifier"] for row in own)
    assert {row["backbone"] for row in other} == {row["backbone"] for row in own}


def test_each_has_its_queue_form_and_report_and_one_page_covers_both(deployment: Deployment, predicted: object) -> None:
    for home in (Path(deployment.settings.lake), Path(deployment.settings.lake, "warm")):
        assert (home / "reports" / f"{DAY}.html").exists()
        assert (home / "review_forms" / f"{DAY}.csv").exists()
    page = Path(deployment.settings.lake, "overviews", f"{DAY}.html").read_text()
    assert "30 files arrived, embedded once for 2 classifiers" in page
    for link in (f"../reports/{DAY}.html", f"../warm/reports/{DAY}.html"):
        assert f'href="{link}"' in page
        assert Path(deployment.settings.lake, "overviews", link).resolve().exists()


def test_a_roll_back_of_one_leaves_the_other(deployment: Deployment, predicted: object) -> None:
    own, first = deployment.version("classifier"), deployment.version("warm", "classifier")
    config = {
        "warm__classifier_candidate": {"config": {"params": {"regParam": 0.02}}},
        "warm_gate": {"config": {"accept_equal": True}},
    }
    deployment.run("warm_training", questions=(deployment.warm,), config=config)
    assert deployment.version("warm", "classifier") != first
    definitions = build_definitions(deployment.settings, [deployment.warm])
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[dg.AssetKey(["warm", "classifier"])],
        run_config={"ops": {"warm__classifier": {"config": {"version": "previous"}}}},
        instance=deployment.instance,
    )
    assert result.success
    assert deployment.version("warm", "classifier") == first
    assert deployment.version("classifier") == own


def test_tables_outlive_the_question(deployment: Deployment, predicted: object) -> None:
    deployment.run("daily", DAY)
    assert len(deployment.rows("warm/predictions")) == 30
    assert Lake(root=deployment.settings.lake).list_prefixes() == ["warm"]


def test_an_image_is_explained_by_each_classifier_and_forgotten_by_both(
    deployment: Deployment, predicted: object
) -> None:
    lake, name = deployment.settings.lake, f"{DAY}/0.jpg"
    own, other = (ImageTraces(lake, prefix).find(name) for prefix in ("", "warm"))
    assert own.image_id == other.image_id
    assert WARM[own.predictions[0]["predicted_label"]] == other.predictions[0]["predicted_label"]
    assert {each.version for each in own.classifiers}.isdisjoint(each.version for each in other.classifiers)
    list(forget(deployment.settings, find_image(lake, name)))
    for table in ("predictions", "warm/predictions", "review_queue", "warm/review_queue", "images"):
        assert own.image_id not in {row["image_id"] for row in deployment.rows(table)}, table
    for form in Path(lake).rglob("review_forms/*.csv"):
        assert str(own.image_id) not in form.read_text(), form
    assert not [*Path(lake).rglob("reports/*.html")], "reports of its day are deleted"
