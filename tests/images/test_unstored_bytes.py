"""Days whose bytes are not stored: images are read from their files again, and a changed file is reported."""

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import MakePhoto
from pyspark.sql import SparkSession

from pipeline.embed.backbone import Backbone
from pipeline.embed.pixels import Decoding
from pipeline.embed.reasons import CHANGED, TOO_MANY_BYTES, VANISHED
from pipeline.images.image_files import read_days
from pipeline.images.lost_files import list_lost
from pipeline.reports.thumbnails import draw_thumbnails, read_pixels
from pipeline.reviews.reviewed_images import LABELS, read_reviewed_images
from pipeline.similarity.near_duplicates import find_near_duplicates
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.bake_off import sample_images
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.lake.purge import purge_days
from resources.settings import Settings

DAY, NEXT_DAY = date(2026, 11, 20), date(2026, 11, 21)

Read = Callable[..., StoredRows]


@pytest.fixture
def landing(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """Six images, one twice and one with a name that is not text, and an empty file, on one day."""
    folder = tmp_path / "landing" / "days" / str(DAY)
    folder.mkdir(parents=True)
    for seed in range(5):
        (folder / f"{seed}.jpg").write_bytes(make_photo("red", seed))
    (folder / "again.jpg").write_bytes(make_photo("red", 0))
    Path(str(folder) + "/caf\udce9.jpg").write_bytes(make_photo("blue", 7))
    (folder / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def cache(lake: Lake) -> FeatureCache:
    return FeatureCache(lake=lake, settings=Settings())


@pytest.fixture
def read(lake: Lake, landing: Path, spark: SparkSession) -> Read:
    """Reads the folder as a day, with or without its bytes."""

    def read(day: date = DAY, is_stored: bool = False, max_bytes: int = 2**20) -> StoredRows:
        lake.write("images", read_days(lambda: spark, {day: str(landing)}, max_bytes, is_stored), [str(day)])
        return lake.read(spark, "images", [str(day)])

    return read


def outcomes(images: StoredRows, cache: FeatureCache, backbone: Backbone) -> dict[str, str | None]:
    """The error of every distinct image, by `image_id`; images without an error have features."""
    rows = cache.embed(images, backbone).rows.frame.collect()
    assert all((row["features"] is None) == (row["error"] is not None) for row in rows)
    return {row["image_id"]: row["error"] for row in rows}


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_only_where_the_bytes_are_differs_from_a_day_with_stored_bytes(read: Read) -> None:
    stored = {row["path"]: row.asDict() for row in read(is_stored=True).frame.collect()}
    unstored = {row["path"]: row.asDict() for row in read(is_stored=False).frame.collect()}
    assert {row["location"] for row in stored.values()} == {row["content"] for row in unstored.values()} == {None}
    for path, row in stored.items():
        assert Path(unstored[path]["location"].decode("utf-8", "surrogateescape")).read_bytes() == bytes(row["content"])
        assert row | {"content": None} == unstored[path] | {"location": None}


def test_an_image_gets_the_same_features_from_its_file(read: Read, tmp_path: Path, tiny_backbone: Backbone) -> None:
    caches = [FeatureCache(lake=Lake(root=str(tmp_path / name)), settings=Settings()) for name in ("stored", "not")]
    rows = [
        sorted(map(str, cache.embed(read(is_stored=is_stored), tiny_backbone).rows.frame.collect()))
        for cache, is_stored in zip(caches, (True, False), strict=True)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 7


def test_a_file_that_is_too_large_is_hashed_by_neither(read: Read, landing: Path) -> None:
    (landing / "huge.jpg").write_bytes(b"\xff\xd8\xff" + bytes(2**20))
    (row,) = [each for each in read().frame.collect() if each["path"] == "huge.jpg"]
    assert (row["image_id"], row["location"], row["read_error"]) == (None, None, TOO_MANY_BYTES)


def test_a_file_that_changed_or_vanished_is_reported_and_its_features_are_not_those_of_other_bytes(
    read: Read, cache: FeatureCache, landing: Path, make_photo: MakePhoto, tiny_backbone: Backbone
) -> None:
    images = read()
    (landing / "1.jpg").write_bytes(make_photo("blue", 1))
    (landing / "2.jpg").unlink()
    found = outcomes(images, cache, tiny_backbone)
    errors = {image_id: error for image_id, error in found.items() if error != "empty"}
    lost = {id_of(make_photo("red", 1)): CHANGED, id_of(make_photo("red", 2)): VANISHED}
    assert {image_id: error for image_id, error in errors.items() if error} == lost
    assert len(found) == 7, "one row for every distinct image of the day"
    assert id_of(make_photo("blue", 1)) not in found
    assert sorted(list_lost(images)) == sorted(lost)


def test_a_lost_file_that_comes_back_is_embedded(
    read: Read, cache: FeatureCache, landing: Path, make_photo: MakePhoto, tiny_backbone: Backbone
) -> None:
    images, image_id = read(), id_of(make_photo("red", 1))
    (landing / "1.jpg").unlink()
    assert outcomes(images, cache, tiny_backbone)[image_id] == VANISHED
    (landing / "1.jpg").write_bytes(make_photo("red", 1))
    embedded = cache.embed(read(NEXT_DAY), tiny_backbone)
    assert embedded.miss_count == 1
    assert outcomes(images, cache, tiny_backbone)[image_id] is None, "the earlier day is mended too"
    assert cache.embed(images, tiny_backbone).miss_count == 0


def test_known_images_are_served_although_their_files_are_gone(
    read: Read, cache: FeatureCache, landing: Path, tiny_backbone: Backbone
) -> None:
    images = read()
    before = outcomes(images, cache, tiny_backbone)
    for file in landing.iterdir():
        file.unlink()
    assert outcomes(images, cache, tiny_backbone) == before


def test_days_with_and_without_stored_bytes_are_embedded_and_shown_together(
    read: Read, lake: Lake, cache: FeatureCache, landing: Path, make_photo: MakePhoto, tiny_backbone: Backbone
) -> None:
    read(DAY, is_stored=True)
    (landing / "0.jpg").write_bytes(make_photo("green", 50))
    both = lake.read(read(NEXT_DAY).spark, "images", [str(DAY), str(NEXT_DAY)])
    assert set(outcomes(both, cache, tiny_backbone).values()) == {None, "empty"}
    ids = [id_of(make_photo("red", 1)), id_of(make_photo("green", 50))]
    assert draw_thumbnails(both, ids, 60).keys() == set(ids)
    read(DAY), read(NEXT_DAY, is_stored=True)  # each day is written again, the other way round
    again = lake.read(both.spark, "images", [str(DAY), str(NEXT_DAY)])
    assert draw_thumbnails(again, ids, 60).keys() == set(ids)


def test_days_of_an_earlier_version_have_no_location_and_their_bytes(
    read: Read, lake: Lake, cache: FeatureCache, landing: Path, spark: SparkSession, tiny_backbone: Backbone
) -> None:
    lake.write("images", read_days(lambda: spark, {DAY: str(landing)}).frame.drop("location"), [str(DAY)])
    former = lake.read(spark, "images", [str(DAY)])
    assert list_lost(former) == []
    assert set(outcomes(former, cache, tiny_backbone).values()) == {None, "empty"}
    ids = [row["image_id"] for row in read(NEXT_DAY).frame.collect()]
    both = lake.read(spark, "images", [str(DAY), str(NEXT_DAY)])
    for file in landing.iterdir():
        file.unlink()
    assert len(draw_thumbnails(both, ids, 60)) == 6, "those of the former day are drawn from its bytes"
    assert purge_days(lake, str(NEXT_DAY)) == [str(DAY)]
    purged = lake.read(spark, "images", [str(DAY)]).frame
    assert purged.where("content is null and location is null").count() == purged.count() == 8


def test_pages_draw_from_files_and_leave_lost_ones_out(read: Read, landing: Path, make_photo: MakePhoto) -> None:
    images = read()
    ids = [id_of(make_photo("red", seed)) for seed in (1, 2, 3)]
    (landing / "2.jpg").write_bytes(make_photo("red", 99))
    assert draw_thumbnails(images, ids, 60).keys() == {ids[0], ids[2]}
    assert read_pixels(images, ids, Decoding(32)).keys() == {ids[0], ids[2]}


def test_near_duplicates_are_compared_from_files(
    read: Read, cache: FeatureCache, landing: Path, tiny_backbone: Backbone
) -> None:
    stored, unstored = read(DAY, is_stored=True), read(NEXT_DAY)
    features = cache.embed(unstored, tiny_backbone).rows.frame.drop("day")
    pairs = [
        sorted(map(str, find_near_duplicates(features, images.frame.drop("day")).collect()))
        for images in (stored, unstored)
    ]
    assert pairs[0] == pairs[1]


def test_a_sample_for_calibration_is_read_from_files(read: Read, landing: Path, make_photo: MakePhoto) -> None:
    images = read().frame.selectExpr("*", "'train' split")
    (landing / "1.jpg").unlink()
    sampled = sample_images(images, 7)
    assert len(sampled) == 6
    assert make_photo("red", 1) not in sampled
    assert make_photo("red", 2) in sampled


def test_a_reviewed_image_is_a_training_image_that_names_its_file(
    read: Read, landing: Path, make_photo: MakePhoto
) -> None:
    content = make_photo("red", 1)
    reviewed = pa.Table.from_pylist(
        [{"image_id": id_of(content), "day": DAY, "label": "red", "origin": "a form"}], LABELS
    )
    (row,) = read_reviewed_images(read(), reviewed).collect()
    assert (row["path"], row["content"]) == (f"reviews/{DAY}/1.jpg", None)
    assert Path(row["location"].decode()).read_bytes() == content


def test_purging_forgets_the_files_of_a_day_as_it_deletes_bytes(
    read: Read, lake: Lake, make_photo: MakePhoto, spark: SparkSession
) -> None:
    before = {row["path"]: row.asDict() for row in read().frame.collect()}
    reviewed = id_of(make_photo("red", 1))
    lake.write("reviews", spark.sql(f"select '{reviewed}' as image_id, 'red' as label"), None)
    assert purge_days(lake, str(NEXT_DAY)) == [str(DAY)]
    purged = lake.read(spark, "images", [str(DAY)])
    assert {row["path"]: row.asDict() for row in purged.frame.collect()} == {
        path: row | ({} if row["image_id"] == reviewed else {"location": None}) for path, row in before.items()
    }
    assert draw_thumbnails(purged, [row["image_id"] for row in before.values()], 60).keys() == {reviewed}
