"""A deployment that stores no image bytes: training, days, pages, review and forgetting read the landing zone."""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from conftest import COLOURS, MakePhoto
from deltalake import DeltaTable
from deployment import DAY, NEXT_DAY, Deployment

from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.reviews.answers import Key
from resources.review.images import Images

pytestmark = pytest.mark.slow

LABELLED, ARRIVED = 12, 30


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Deployment:
    """A training and two days, of which the second was run while bytes were stored."""
    deployment = Deployment(tmp_path_factory.mktemp("unstored"), DAYLIGHT_STORE_BYTES="never")
    deployment.lay_out(make_photo, LABELLED)
    for number in range(ARRIVED):
        colour = list(COLOURS)[number % 3]
        (deployment.folder(DAY) / f"{number:02}.jpg").write_bytes(make_photo(colour, 1000 + number))
        (deployment.folder(NEXT_DAY) / f"{number:02}.jpg").write_bytes(make_photo(colour, 2000 + number))
    for job, *days in (("training",), ("daily", DAY)):
        run = deployment.run(job, *days)
        assert run.is_good, run.text
    run = deployment.run("daily", NEXT_DAY, DAYLIGHT_STORE_BYTES="days")
    assert run.is_good, run.text
    return deployment


def rows(deployment: Deployment, table: str, day: str | None = None) -> list[dict]:
    filters = [("day", "=", date.fromisoformat(day))] if day else None
    return DeltaTable(deployment.lake / table).to_pyarrow_table(filters=filters).to_pylist()


@pytest.fixture
def page(deployment: Deployment) -> Iterator[Images]:
    images = Images(str(deployment.lake), 64, DEFAULT_LIMITS)
    yield images
    images.close()


def test_no_table_holds_the_bytes_of_an_image(deployment: Deployment) -> None:
    for table, day, count in (("training_images", None, 3 * LABELLED), ("images", DAY, ARRIVED)):
        found = rows(deployment, table, day)
        assert len(found) == count
        assert {row["content"] for row in found} == {None}
        for row in found:
            content = Path(row["location"].decode()).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (row["image_id"], row["length"])


def test_every_file_is_predicted_as_well_as_with_stored_bytes(deployment: Deployment) -> None:
    for day in (DAY, NEXT_DAY):
        predictions = rows(deployment, "predictions", day)
        assert len(predictions) == ARRIVED
        assert {row["predicted_label"] for row in predictions} == set(COLOURS)
        assert all(row["error"] is None for row in predictions)


def test_the_report_shows_images_of_both_kinds_of_days(deployment: Deployment) -> None:
    for day in (DAY, NEXT_DAY):
        text = (deployment.lake / "reports" / f"{day}.html").read_text()
        assert text.count("data:image/jpeg;base64,") >= 3, day


def test_the_review_page_draws_from_the_landing_zone(deployment: Deployment, page: Images) -> None:
    arrived, labelled = rows(deployment, "images", DAY), rows(deployment, "training_images")
    keys = [Key(date.fromisoformat(DAY), arrived[0]["image_id"]), Key(None, labelled[0]["image_id"])]
    assert {page.get(key)[:3] for key in keys} == {b"\xff\xd8\xff"}
    lost = arrived[1]
    file = Path(lost["location"].decode())
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    assert page.get(Key(date.fromisoformat(DAY), lost["image_id"])) == b"", "other bytes are another image"
    file.write_bytes(content)
    assert page.get(Key(date.fromisoformat(DAY), lost["image_id"])) != b""


def test_a_replaced_file_is_another_image_of_the_day_run_again(
    deployment: Deployment, make_photo: MakePhoto, tmp_path: Path
) -> None:
    copy = deployment.copy(tmp_path, DAYLIGHT_STORE_BYTES="never")
    (copy.folder(DAY) / "00.jpg").write_bytes(make_photo("blue", 5000))
    run = copy.run("daily", DAY)
    assert run.is_good, run.text
    (row,) = [row for row in rows(copy, "predictions", DAY) if row["path"] == "00.jpg"]
    assert (row["image_id"], row["predicted_label"]) == (hashlib.sha256(make_photo("blue", 5000)).hexdigest(), "blue")


def test_storing_the_bytes_after_all_changes_no_classifier(deployment: Deployment, tmp_path: Path) -> None:
    copy = deployment.copy(tmp_path, DAYLIGHT_STORE_BYTES="never")
    before = (copy.lake / "models" / "classifier.json").read_text()
    run = copy.run("training", DAYLIGHT_STORE_BYTES="days")
    assert run.is_good, run.text
    assert (copy.lake / "models" / "classifier.json").read_text() == before
    dataset = ds.dataset([str(file) for file in DeltaTable(copy.lake / "training_images").file_uris()])
    assert dataset.to_table(columns=["content"])["content"].null_count == 0
