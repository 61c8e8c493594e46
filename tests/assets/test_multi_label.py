"""A classifier of sets from its manifest to the answers of people, which a training learns from."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from conftest import COLOURS, MakePhoto, make_tiny_deployment
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from assets.commands.review import open_pages
from assets.components import ImageClassifier
from assets.definitions import build_definitions
from pipeline.images.label_sets import EMPTY
from pipeline.reviews.answers import NONE, Key
from resources.instance.day_tags import tag_days
from resources.question import Question
from resources.review.answer_log import AnswerLog
from resources.settings import Settings

pytestmark = pytest.mark.slow  # a training and a day
DAY = "2026-11-20"
SETS = {"red": "warm;strong", "green": "strong", "blue": ""}
DAILY = ("difficulty", "predictions", "drift", "review_queue", "review_form", "daily_report")


class Deployment:
    """A deployment that asks which of two labels hold for an image."""

    def __init__(self, settings: Settings, question: Question, instance: dg.DagsterInstance) -> None:
        self.settings, self.question, self.instance = settings, question, instance
        self.home = Path(settings.lake, question.name)

    def run(self, *keys: dg.AssetKey, job: str = "", **options: Any) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.settings, [self.question])
        job_def = definitions.resolve_job_def(job) if job else definitions.resolve_implicit_global_asset_job_def()
        chosen = {"asset_selection": keys} if keys else {}
        result = job_def.execute_in_process(instance=self.instance, raise_on_error=False, **chosen, **options)
        assert result.success, [str(each.step_failure_data.error) for each in result.all_events if each.is_step_failure]
        return result

    def rows(self, table: str) -> list[dict[str, Any]]:
        return sorted(DeltaTable(self.home / table).to_pyarrow_table().to_pylist(), key=str)


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, training_folder: Path, make_photo: MakePhoto
) -> Iterator[Deployment]:
    root = tmp_path_factory.mktemp("sets")
    with (root / "looks.csv").open("w", newline="") as file:
        lines = [[f"{colour}/{seed}.jpg", SETS[colour]] for colour in COLOURS for seed in range(30)]
        csv.writer(file).writerows([["path", "labels"], *lines])
    settings = make_tiny_deployment(root)
    day = root / "landing" / "days" / DAY
    day.mkdir(parents=True)
    for number in range(30):
        colour = list(COLOURS)[number % 3]
        (day / f"{colour}{number}.jpg").write_bytes(make_photo(colour, 1000 + number))
    (day / "broken.jpg").write_bytes(b"no image")
    looks = ImageClassifier(
        name="looks",
        training=str(training_folder),
        manifest=str(root / "looks.csv"),
        multi_label=True,
        target_precision=0.8,  # sixty images prove no more
    )
    with dg.instance_for_test(temp_dir=str(root)) as instance:
        yield Deployment(settings, looks.make_question(settings), instance)


@pytest.fixture(scope="module")
def trained(deployment: Deployment) -> dg.ExecuteInProcessResult:
    deployment.run(dg.AssetKey("backbone"))
    return deployment.run(job="looks_training")


@pytest.fixture(scope="module")
def day(deployment: Deployment, trained: object) -> list[dict[str, Any]]:
    """The predictions of the day."""
    own = [deployment.question.key(name) for name in DAILY]
    deployment.run(dg.AssetKey("images"), dg.AssetKey("image_features"), *own, tags=tag_days([DAY]))
    return deployment.rows("predictions")


def test_the_gate_judges_the_candidate_by_its_answers(trained: dg.ExecuteInProcessResult) -> None:
    checks = {each.check_name: each for each in trained.get_asset_check_evaluations()}
    assert all(each.passed for each in checks.values())
    assert checks["candidate_keeps_every_class"].description == "2 labels"
    (event,) = trained.asset_materializations_for_node("looks__training_images")
    assert event.metadata["label_count"].value == 3  # the empty set counts too


def test_every_file_has_its_set_or_a_reason(day: list[dict[str, Any]]) -> None:
    assert len(day) == 31
    for row in day:
        if row["path"] == "broken.jpg":
            assert (row["decision"], row["labels"], row["unsure"]) == ("rejected", None, None)
            continue
        truth = sorted(filter(None, SETS[row["path"].rstrip(".jpg0123456789")].split(";")))
        assert row["labels"] == truth
        assert row["predicted_label"] == (";".join(truth) or EMPTY)
        assert (row["decision"] == "answered") == (row["unsure"] == [])
        assert dict(row["probabilities"]).keys() == {"strong", "warm"}
        assert row["threshold"] is None
    assert sum(row["decision"] == "answered" for row in day) >= 10


def test_a_day_has_a_threshold_of_each_answer_and_its_pages(deployment: Deployment, day: object) -> None:
    (row,) = deployment.rows("difficulty")
    assert row["state"] == "estimated"
    assert {"strong", "warm"} <= {name.removeprefix("(not) ") for name, _ in row["label_thresholds"]}
    page = (deployment.home / "reports" / f"{DAY}.html").read_text()
    assert "strong;warm" in page
    assert "labels are answered from confidence" in page


def test_what_people_say_about_sets_is_learned(deployment: Deployment, day: object) -> None:
    pages = open_pages(deployment.settings, [date.fromisoformat(DAY)], "", False, "looks")
    assert pages.is_multi_label
    item = next(each for each in pages.desk.items.values() if each.likely)
    assert item.predicted_label == item.likely[0][0]
    assert sum(share for _, share in item.likely) == pytest.approx(1)  # four sets of two labels
    keys = sorted(key for key in pages.desk.items if key.day)[:3]
    said = dict(zip(keys, (NONE, "warm; strong", "warm"), strict=True))
    log = AnswerLog(str(deployment.home))
    for key, label in said.items():
        log.append(pages.desk.answer([key], label, "Ada", datetime.now(UTC), key.image_id))
    log.close()
    for images in pages.images.values():
        images.close()
    deployment.run(deployment.question.key("reviews"), deployment.question.key("training_images"))
    learned = {Key(date.fromisoformat(DAY), row["image_id"]): row for row in deployment.rows("training_images")}
    assert [learned[key]["label"] for key in said] == [EMPTY, "strong;warm", "warm"]
    assert {learned[key]["origin"] for key in said} == {"review page"}
