"""Several classifiers: the review page has a queue of each, and an answer reaches the one that was asked."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import MakePhoto
from deltalake import DeltaTable, write_deltalake
from review_lake import LABELS, ReviewLake
from review_site import ReviewSite

from pipeline.reviews.answer_files import read_answers

OWN = ("predictions", "review_queue", "drift", "training_images", "training_features", "training_split")


@pytest.fixture
def lake(tmp_path: Path, make_photo: MakePhoto) -> ReviewLake:
    """A lake whose question `damage` has the tables of the deployment's own one."""
    lake = ReviewLake(tmp_path / "lake", make_photo)
    for table in (*OWN, "label_issues", "near_duplicates"):
        shutil.copytree(lake.folder(table), lake.folder(f"damage/{table}"))
    return lake


def test_the_page_switches_between_classifiers(lake: ReviewLake) -> None:
    with ReviewSite(lake) as site:
        own, other = site.client.get("/").text, site.client.get("/damage/").text
        for page in (own, other):
            assert '<a href="/">default</a>' in page.replace(' aria-current="page"', "")
            assert '<a href="/damage/">damage</a>' in page.replace(' aria-current="page"', "")
        assert '<a href="/" aria-current="page">' in own
        assert '<a href="/damage/" aria-current="page">' in other
        assert 'content="/damage"' in other
        assert site.client.get("/damage/api/labels").json()["labels"] == sorted(LABELS)


def test_answers_about_sets_are_sets(lake: ReviewLake) -> None:
    folder = lake.folder("damage/predictions")
    rows = DeltaTable(folder).to_pyarrow_table()
    sets = rows.append_column("labels", pa.array([["pear"]] * rows.num_rows, pa.list_(pa.string())))
    write_deltalake(folder, sets, mode="overwrite", schema_mode="overwrite", partition_by=["day"])
    with ReviewSite(lake) as site:
        assert "members" not in site.client.get("/api/labels").json()
        assert site.client.get("/damage/api/labels").json()["members"] == sorted(LABELS)
        site.post("/damage/api/answers", keys=[lake.key(3)], label="torn; pear")
        site.post("/damage/api/answers", keys=[lake.key(4)], label="(none)")
    found = {str(each.key): each.label for each in read_answers(lake.folder("damage")).standing()}
    assert found == {lake.key(3): "pear;torn", lake.key(4): "(no label)"}


def test_an_answer_is_one_of_the_classifier_that_was_asked(lake: ReviewLake) -> None:
    with ReviewSite(lake) as site:
        before = site.client.get("/api/queue", params={"reviewer": "anna"}).json()["waiting"]
        site.post("/damage/api/answers", keys=[lake.key(3)], label="pear")
        assert site.client.get("/api/queue", params={"reviewer": "anna"}).json()["waiting"] == before
        assert site.client.get("/damage/api/queue", params={"reviewer": "anna"}).json()["waiting"] == before - 1
    assert not read_answers(str(lake.root)).standing()
    assert [answer.label for answer in read_answers(lake.folder("damage")).standing()] == ["pear"]


def test_each_page_shows_the_labelled_images_of_its_own_classifier(lake: ReviewLake) -> None:
    shutil.rmtree(lake.folder("training_images"))
    with ReviewSite(lake) as site:
        key = f"labelled/{lake.ids['labelled 0']}"
        assert site.client.get(f"/images/small/{key}").status_code == 404
        assert site.client.get(f"/damage/images/small/{key}").headers["content-type"] == "image/jpeg"
        assert site.client.get(f"/damage/images/small/{lake.key(1)}").headers["content-type"] == "image/jpeg"


def test_a_lake_without_a_queue_of_the_default_classifier_opens_another(lake: ReviewLake) -> None:
    shutil.rmtree(lake.folder("review_queue"))
    with ReviewSite(lake, root="/review") as site:
        assert str(site.client.get("/review/").url).endswith("/review/damage/")
        assert site.connect().get("/review/").text.count("Log in"), "a stranger is asked for the token"
