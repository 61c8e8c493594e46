"""Earlier images: a photo sent again in another encoding or size names the first one, and no other photo does."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pytest
from conftest import list_records
from paintings import paint, save
from PIL import Image
from pyspark.sql import SparkSession

from pipeline.daily import earlier_images
from pipeline.daily.earlier_images import EARLIER_DAYS, find_earlier_images, list_earlier
from pipeline.embed.backbone import Backbone
from pipeline.images.features import SCHEMA, extract_features
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Lake

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
Store = Callable[[Mapping[date, Sequence[bytes]]], StoredRows]


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def again(seed: int, quality: int = 60, factor: float = 1.0) -> bytes:
    """A painting, saved again."""
    image = paint(seed)
    return save(image.resize((int(image.width * factor), int(image.height * factor))), quality)


def as_png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(save(paint(seed)))).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def store(spark: SparkSession, tiny_backbone: Backbone, tmp_path: Path) -> Store:
    """Embeds and stores the images of days."""
    lakes = count()

    def make(days: Mapping[date, Sequence[bytes]]) -> StoredRows:
        rows = [
            (day, id_of(content), f"{number}.jpg", content)
            for day, contents in days.items()
            for number, content in enumerate(contents)
        ]
        images = spark.createDataFrame(rows, "day date, image_id string, path string, content binary")
        lake, keys = Lake(root=str(tmp_path / f"lake {next(lakes)}")), [str(day) for day in days]
        lake.write("image_features", extract_features(images, tiny_backbone), keys)
        return lake.read_known(spark, "image_features", parse_schema(SCHEMA), keys)

    return make


def found(features: StoredRows, *days: date) -> dict[tuple[date, str], str]:
    rows = list_records(find_earlier_images(features, days))
    marks = {(row["day"], row["image_id"]): row["near_duplicate_of"] for row in rows}
    assert len(marks) == len(rows)
    return marks


@pytest.mark.parametrize("driver_rows", [earlier_images.DRIVER_ROWS, 0])
def test_a_photo_sent_again_names_the_first_one_whether_the_driver_searches_or_executors(
    store: Store, monkeypatch: pytest.MonkeyPatch, driver_rows: int
) -> None:
    monkeypatch.setattr(earlier_images, "DRIVER_ROWS", driver_rows)
    monkeypatch.setattr(earlier_images, "BUCKET_ROWS", 4)
    first = [save(paint(seed)) for seed in range(6)]
    resent = [again(0), again(1, factor=0.5), as_png(2)]
    features = store({FRIDAY: first, SATURDAY: [*resent, again(0, 40), save(paint(9)), first[3], b"no image"]})
    expected = {(SATURDAY, id_of(content)): id_of(first[seed]) for seed, content in enumerate(resent)}
    expected[SATURDAY, id_of(again(0, 40))] = id_of(first[0])
    assert found(features, SATURDAY) == expected
    assert found(features, FRIDAY, SATURDAY) == expected, "days of one run"
    assert found(features, FRIDAY) == {}, "a later day changes nothing"


def test_of_two_files_on_one_day_one_names_the_other(store: Store) -> None:
    pair = sorted([save(paint(1)), again(1)], key=id_of)
    assert found(store({FRIDAY: [*pair, save(paint(2))]}), FRIDAY) == {(FRIDAY, id_of(pair[1])): id_of(pair[0])}


def test_the_first_of_several_days_is_named_and_the_same_bytes_are_not(store: Store) -> None:
    days = [FRIDAY + timedelta(days=number) for number in range(3)]
    one, other, third = save(paint(1)), again(1), again(1, 40)
    features = store({days[0]: [one], days[1]: [other, one], days[2]: [third, one]})
    assert found(features, days[2]) == {(days[2], id_of(third)): id_of(one), (days[2], id_of(one)): id_of(other)}


def test_an_image_from_before_the_window_is_new(store: Store) -> None:
    assert (list_earlier([FRIDAY])[0], len(list_earlier([FRIDAY]))) == (FRIDAY - timedelta(EARLIER_DAYS), 32)
    for ago, count_ in ((EARLIER_DAYS, 1), (EARLIER_DAYS + 1, 0)):
        features = store({FRIDAY - timedelta(days=ago): [save(paint(1))], FRIDAY: [again(1)]})
        assert len(found(features, FRIDAY)) == count_


def test_days_of_an_earlier_version_have_no_miniatures_and_are_not_compared(
    store: Store, spark: SparkSession, tmp_path: Path
) -> None:
    features = store({FRIDAY: [save(paint(1))], SATURDAY: [again(1), save(paint(1))]}).frame
    lake = Lake(root=str(tmp_path / "former"))
    lake.write("image_features", features.where(f"day = '{FRIDAY}'").drop("miniature"), [str(FRIDAY)])
    lake.write("image_features", features.where(f"day = '{SATURDAY}'"), [str(SATURDAY)])
    stored = lake.read_known(spark, "image_features", parse_schema(SCHEMA), [str(FRIDAY), str(SATURDAY)])
    pair = sorted([save(paint(1)), again(1)], key=id_of)
    assert found(stored, SATURDAY) == {(SATURDAY, id_of(pair[1])): id_of(pair[0])}


def test_days_without_images_have_no_earlier_ones(spark: SparkSession, tmp_path: Path) -> None:
    nothing = Lake(root=str(tmp_path)).read_known(spark, "image_features", parse_schema(SCHEMA), [str(FRIDAY)])
    assert found(nothing, FRIDAY) == {}
