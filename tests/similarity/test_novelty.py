"""Novelty: an image unlike all training images is novel, and a training image is not."""

import io
import math
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from conftest import COLOURS, MakePhoto, StoreRows
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.images.features import extract_features
from pipeline.similarity import novelty
from pipeline.similarity.novelty import (
    NOVEL_QUANTILE,
    OtherBackboneError,
    Reference,
    choose_reference,
    find_novel,
    measure_similarity,
    novelty_threshold,
)
from pipeline.storage.stored_rows import StoredRows

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)


def make_stripes() -> bytes:
    """Draws an image that is half yellow and half black."""
    pixels = np.zeros((40, 48, 3), np.uint8)
    pixels[:20] = (250, 250, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def training_features(spark: SparkSession, make_photo: MakePhoto, tiny_backbone: Backbone) -> DataFrame:
    """Features of forty images per colour in the train split, and of the stripes in the holdout."""
    rows = [(make_photo(colour, seed), f"{colour} {seed}", "train") for colour in COLOURS for seed in range(40)]
    rows.append((make_stripes(), "stripes", "holdout"))
    images = spark.createDataFrame(rows, "content binary, path string, split string")
    images = images.withColumn("image_id", F.sha2("content", 256))
    return extract_features(images, tiny_backbone).join(images.select("image_id", "split"), "image_id").cache()


@pytest.fixture(scope="module")
def reference(training_features: DataFrame) -> Reference:
    features, split = training_features.drop("split"), training_features.select("image_id", "split")
    return choose_reference(features.toArrow(), split.toArrow())


@pytest.fixture(scope="module")
def day_features(spark: SparkSession, make_photo: MakePhoto, tiny_backbone: Backbone) -> DataFrame:
    rows = [
        (FRIDAY, "known", make_photo("red", 7)),
        (FRIDAY, "stripes", make_stripes()),
        (FRIDAY, "broken", b"not an image"),
        (SATURDAY, "stripes", make_stripes()),
        *((SATURDAY, f"new {seed}", make_photo("blue", 5000 + seed)) for seed in range(20)),
    ]
    images = spark.createDataFrame(rows, "day date, image_id string, content binary").withColumn(
        "path", F.col("image_id")
    )
    return extract_features(images, tiny_backbone).cache()


@pytest.fixture(scope="module")
def stored_features(day_features: DataFrame, store_rows: StoreRows) -> StoredRows:
    return store_rows(day_features)


@pytest.fixture(scope="module")
def similarities(stored_features: StoredRows, reference: Reference) -> dict[tuple[date, str], float]:
    rows = measure_similarity(stored_features, reference).collect()
    return {(row["day"], row["image_id"]): row["similarity"] for row in rows}


def test_an_image_unlike_all_training_images_is_novel_on_every_day(
    similarities: dict[tuple[date, str], float], reference: Reference
) -> None:
    for day in (FRIDAY, SATURDAY):
        assert similarities[day, "stripes"] < reference.threshold


def test_a_training_image_has_similarity_one_and_is_not_novel(
    similarities: dict[tuple[date, str], float], reference: Reference
) -> None:
    assert similarities[FRIDAY, "known"] == pytest.approx(1, abs=1e-5)
    assert similarities[FRIDAY, "known"] > reference.threshold


def test_every_image_names_the_training_image_that_is_most_like_it(
    day_features: DataFrame,
    stored_features: StoredRows,
    training_features: DataFrame,
    reference: Reference,
) -> None:
    train = training_features.where("split = 'train'")
    found = measure_similarity(stored_features, reference).where("image_id = 'known'").collect()
    known = day_features.where("image_id = 'known'").first()
    assert known is not None
    same = {row["image_id"] for row in train.collect() if np.allclose(row["features"], known["features"], atol=1e-4)}
    assert [row["nearest_image_id"] for row in found] == [*same]


def test_the_driver_finds_the_novel_images_and_the_wanted_ones(
    similarities: dict[tuple[date, str], float], stored_features: StoredRows, reference: Reference
) -> None:
    found = find_novel(stored_features, reference, pa.chunked_array([["known", "broken"]]))
    rows = {(row["day"], row["image_id"]): row for row in found.to_pylist()}
    novel = {key for key, similarity in similarities.items() if similarity < reference.threshold}
    assert {key for key, row in rows.items() if row["similarity"] < reference.threshold} == novel
    assert (FRIDAY, "known") in rows
    assert {key: row["similarity"] for key, row in rows.items()} == {key: similarities[key] for key in rows}
    assert len(rows) < len(similarities), "images like the first training images are compared with no others"


def test_few_new_images_like_the_training_set_are_novel(
    similarities: dict[tuple[date, str], float], reference: Reference
) -> None:
    assert sum(similarities[SATURDAY, f"new {seed}"] < reference.threshold for seed in range(20)) <= 3


def test_every_image_with_features_is_compared_once(
    similarities: dict[tuple[date, str], float], day_features: DataFrame
) -> None:
    assert (FRIDAY, "broken") not in similarities
    assert len(similarities) == day_features.where(F.col("features").isNotNull()).count() == 23


def test_similarity_is_the_largest_cosine(
    similarities: dict[tuple[date, str], float], day_features: DataFrame, training_features: DataFrame
) -> None:
    def matrix(features: DataFrame) -> np.ndarray:
        values = np.array([row["features"] for row in features.select("features").collect()], np.float64)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    one = day_features.where("image_id = 'new 3'")
    expected = (matrix(one) @ matrix(training_features.where("split = 'train'")).T).max()
    assert similarities[SATURDAY, "new 3"] == pytest.approx(expected, abs=1e-5)


def test_the_threshold_is_a_quantile_of_similarities_to_other_training_images(reference: Reference) -> None:
    similarities = reference.vectors @ reference.vectors.T
    np.fill_diagonal(similarities, -1)
    expected = np.quantile(similarities.max(axis=1), NOVEL_QUANTILE)
    assert len(reference.vectors) == 120
    assert reference.threshold == pytest.approx(expected, abs=1e-6)


def test_the_threshold_uses_several_blocks_and_a_limited_number_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.random.default_rng(0).normal(size=(700, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(novelty, "THRESHOLD_IMAGES", 600)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1)
    expected = np.quantile(similarities.max(axis=1)[:600], NOVEL_QUANTILE)
    assert novelty_threshold(vectors) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_with_fewer_than_two_training_images_nothing_is_novel(count: int) -> None:
    assert novelty_threshold(np.ones((count, 4), np.float32)) == -math.inf


def test_features_of_another_backbone_are_an_error(
    day_features: DataFrame, store_rows: StoreRows, reference: Reference
) -> None:
    others = store_rows(day_features.withColumn("backbone", F.lit("another")))
    message = "and the day has those of another: materialize the group training"
    with pytest.raises(OtherBackboneError, match=message):
        measure_similarity(others, reference)
    with pytest.raises(OtherBackboneError, match=message):
        find_novel(others, reference, pa.chunked_array([["known"]]))
