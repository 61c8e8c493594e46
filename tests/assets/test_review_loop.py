"""A review through real jobs: queue, form, filled form, training rows, accuracy."""

import csv
import hashlib
import io
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from conftest import COLOURS, MakePhoto, make_tiny_deployment
from deltalake import DeltaTable
from PIL import Image
from pyspark.sql import SparkSession

from assets.definitions import build_definitions
from pipeline.reviews.answers import BAD_IMAGE, Answer, Key
from resources.instance.day_tags import tag_days
from resources.review.answer_log import AnswerLog
from resources.settings import Settings

pytestmark = pytest.mark.slow

MONDAY, TUESDAY = "2026-11-16", "2026-11-17"
HOSTILE, STRANGE = "=1+1;@SUM(1)|'x.jpg", "half yellow, half black.png"
NEW_LABEL, WRONG = "stripes", "violet"
SETTLED = {"red/1.jpg": BAD_IMAGE, "green/1.jpg": "blue", "blue/1.jpg": "blue"}
"""What a person said on the page about labelled images: one is dropped, one changed, one kept."""


class Deployment:
    """A landing zone, a lake and an instance in a folder, and a person with two spreadsheets."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.reviews = Path(settings.landing, "reviews")
        self.sent: dict[str, bytes] = {}
        self.pages: dict[str, dict] = {}
        self.first: dict[str, list[dict]] = {}

    def run(self, job: str, *days: str) -> set[str]:
        """Runs a job; returns the failed steps."""
        tags = tag_days(days)
        result = (
            build_definitions(self.settings)
            .resolve_job_def(job)
            .execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        )
        for name in ("reviews", "review_queue", "review_form"):
            for event in result.asset_materializations_for_node(name) if job != "training" or name == "reviews" else ():
                self.pages[f"{name} {event.partition}"] = {key: value.value for key, value in event.metadata.items()}
        return {str(event.step_key) for event in result.all_events if event.is_step_failure}

    def rows(self, table: str, *days: str) -> list[dict]:
        """Rows of a table without bytes, read by another library."""
        delta = DeltaTable(Path(self.settings.lake, table))
        columns = [field.name for field in delta.schema().fields if field.name != "content"]
        found = delta.to_pyarrow_table(columns=columns)
        return [row for row in found.to_pylist() if not days or str(row["day"]) in days]

    def form(self, day: str) -> list[dict[str, str]]:
        """The form that the asset's page links to."""
        text = Path(self.pages[f"review_form {day}"]["form"]).read_bytes().decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def send(self, name: str, lines: list[dict[str, str]], delimiter: str = ",", mark: str = "") -> None:
        """Puts a filled form into the landing zone."""
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, lines[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(lines)
        path = self.reviews / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{mark}{file.getvalue()}".encode())
        self.sent[name] = path.read_bytes()


def fill_in(deployment: Deployment) -> None:
    """Fills Monday's form except for one audited image, contradicts Tuesday's predictions, and settles three labels."""
    monday, tuesday = deployment.form(MONDAY), deployment.form(TUESDAY)
    for line in monday[1:]:
        line["label"] = NEW_LABEL if line["path"] == STRANGE else line["predicted_label"]
    for line in tuesday:
        line |= {"label": WRONG, "day": "17.11.2026", "confidence": line["confidence"].replace(".", ",")}
    log = AnswerLog(deployment.settings.lake)
    for name, label in SETTLED.items():
        image_id = hashlib.sha256(Path(deployment.settings.training, name).read_bytes()).hexdigest()
        log.append([Answer(Key(None, image_id), label, "anna", datetime.now(UTC), name)])
    log.close()
    deployment.send("monday.csv", monday)
    deployment.send("anna/tuesday.CSV", tuesday, ";", "\ufeff")


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, training_folder: Path, make_photo: MakePhoto
) -> Iterator[Deployment]:
    """Training, two days, filled forms, Monday's images removed, training again, Tuesday again."""
    root = tmp_path_factory.mktemp("reviews")
    settings = make_tiny_deployment(root).replace(
        training=str(training_folder),
        fit="letterbox",
        accuracy_floor=0.0,
        audit_share=0.0,
        audit_min=3,
        audit_max=3,
    )
    monday, tuesday = (root / "landing" / "days" / day for day in (MONDAY, TUESDAY))
    monday.mkdir(parents=True)
    tuesday.mkdir()
    for number, colour in enumerate(COLOURS):
        (monday / f"={colour}.jpg").write_bytes(make_photo(colour, 1000 + number))
        (tuesday / f"{colour}.jpg").write_bytes(make_photo(colour, 2000 + number))
    (monday / HOSTILE).write_bytes(make_photo("green", 3000))
    stripes = Image.new("RGB", (48, 40))
    stripes.paste((250, 250, 0), (0, 0, 48, 20))
    stripes.save(monday / STRANGE)
    (monday / "copy.jpg").write_bytes((training_folder / "red" / "0.jpg").read_bytes())
    with dg.instance_for_test(temp_dir=str(root)) as instance:
        deployment = Deployment(settings, instance)
        assert not deployment.run("training")
        assert not deployment.run("daily", MONDAY, TUESDAY)
        deployment.first = {table: deployment.rows(table) for table in ("training_images", "reviews", "review_queue")}
        fill_in(deployment)
        shutil.rmtree(monday)
        assert deployment.run("training") == {"gate"}, "a classifier trained on wrong reviews is not promoted"
        assert not deployment.run("daily", TUESDAY)
        yield deployment


def test_without_reviews_all_labels_come_from_folders(deployment: Deployment) -> None:
    assert deployment.first["reviews"] == []
    assert {row["origin"] for row in deployment.first["training_images"]} == {"folder"}


def test_a_novel_image_is_queued_and_a_copy_of_a_training_image_is_not(deployment: Deployment) -> None:
    queued = {row["path"]: row for row in deployment.first["review_queue"] if str(row["day"]) == MONDAY}
    assert queued[STRANGE]["similarity"] < deployment.pages[f"review_queue {MONDAY}"]["novel_below"]
    assert queued[STRANGE]["reason"] in ("novel", "uncertain")
    assert "copy.jpg" not in queued or queued["copy.jpg"]["reason"] in ("audit", "uncertain")


def test_queued_images_have_the_right_reasons(deployment: Deployment) -> None:
    decisions = {(row["day"], row["path"]): row["decision"] for row in deployment.rows("predictions", MONDAY)}
    for row in deployment.first["review_queue"]:
        if str(row["day"]) == MONDAY:
            assert (row["reason"] == "uncertain") == (decisions[row["day"], row["path"]] == "review")
    counts = deployment.pages[f"review_queue {MONDAY}"]
    assert counts["audit_count"] == 3
    assert sum(1 for row in deployment.first["review_queue"] if row["audit_weight"] == 2.0) == 3, "of Monday's six"


def test_reviewed_images_are_training_rows_even_without_their_files(
    deployment: Deployment,
) -> None:
    reviewed = {row["path"]: row for row in deployment.rows("training_images") if row["origin"] != "folder"}
    answered = {line["image_id"] for line in deployment.form(MONDAY)[1:] + deployment.form(TUESDAY)}
    assert {row["image_id"] for row in reviewed.values()} == answered
    strange = reviewed.get(f"reviews/{MONDAY}/{STRANGE}")
    if deployment.form(MONDAY)[0]["path"] != STRANGE:
        assert strange is not None
        assert (strange["label"], strange["origin"]) == (NEW_LABEL, "monday.csv")
    tuesday = [row for row in reviewed.values() if row["path"].startswith(f"reviews/{TUESDAY}/")]
    assert {(row["label"], row["origin"]) for row in tuesday} == {(WRONG, "anna/tuesday.CSV")}
    assert all((int(row["image_id"][:8], 16) % 100 < 20) == (row["split"] == "holdout") for row in reviewed.values())
    others = [row for row in deployment.rows("training_images") if row["origin"] == "folder"]
    assert sorted(map(str, others)) == sorted(map(str, deployment.first["training_images"]))


def test_a_label_settled_on_the_page_replaces_that_of_the_file_in_the_split(deployment: Deployment) -> None:
    split = {row["image_id"]: row["label"] for row in deployment.rows("training_split")}
    files = {row["path"]: row["image_id"] for row in deployment.rows("training_images")}
    settled = {name: split[files[name]] for name in SETTLED}
    assert settled == {"red/1.jpg": None, "green/1.jpg": "blue", "blue/1.jpg": "blue"}
    answered = {(row["reviewer"], row["origin"]) for row in deployment.rows("reviews") if row["day"] is None}
    assert answered == {("anna", "review page")}


def test_the_production_accuracy_is_that_of_the_audit(deployment: Deployment) -> None:
    """Monday's sample represents six images; its two answers agree, unless one of them is the stripes."""
    right = [
        row["label"] == row["predicted_label"] for row in deployment.rows("reviews", MONDAY) if row["audit_weight"]
    ]
    page = deployment.pages["reviews None"]
    assert len(right) == 2
    assert page["production_accuracy"] == pytest.approx(6 / 9 * sum(right) / 2, abs=1e-4)
    assert page["production_accuracy_low"] < page["production_accuracy"] < page["production_accuracy_high"]
    assert (page["audited_count"], page["response_share"]) == (5, pytest.approx(5 / 6, abs=1e-4))
    assert {row["predicted_label"] for row in deployment.rows("reviews", TUESDAY)} == set(COLOURS)


def test_running_a_day_again_draws_the_same_sample_and_keeps_filled_forms(deployment: Deployment) -> None:
    def sample(rows: list[dict]) -> dict[str, float]:
        return {row["path"]: row["audit_weight"] for row in rows if row["audit_weight"]}

    before = [row for row in deployment.first["review_queue"] if str(row["day"]) == TUESDAY]
    assert sample(deployment.rows("review_queue", TUESDAY)) == sample(before)
    assert {name: (deployment.reviews / name).read_bytes() for name in deployment.sent} == deployment.sent
    assert [line["label"] for line in deployment.form(TUESDAY)] == [""] * 3, "the form is new, and empty"


def test_a_hostile_name_is_no_formula_in_a_form(deployment: Deployment) -> None:
    lines = Path(deployment.settings.lake, "review_forms", f"{MONDAY}.csv").read_text(encoding="utf-8-sig").splitlines()
    assert any("'=" in line for line in lines)
    starts = {cell.strip('" ')[:1] for line in lines for delimiter in ",;" for cell in line.split(delimiter)}
    assert not starts & set("=+-@")
