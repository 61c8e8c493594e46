"""Near-duplicates: changed copies of a photo are found, photos of similar objects are not."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from conftest import StoreRows
from paintings import paint, save
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.decode import load
from pipeline.embed.letterbox import squash
from pipeline.images.features import extract_features
from pipeline.networks.known_photos import load_known_photos
from pipeline.similarity import block_pairs, candidate_pairs
from pipeline.similarity.alignment import SIDE, correlate_images
from pipeline.similarity.axes import fit_whitening
from pipeline.similarity.block_pairs import NEIGHBOUR_COUNT
from pipeline.similarity.candidate_pairs import MIN_SIMILARITY, find_candidate_pairs
from pipeline.similarity.near_duplicates import (
    MIN_CORRELATION,
    SCHEMA,
    compare_pairs,
    describe_near_duplicates,
    find_conflicts,
    find_near_duplicates,
    select_near_duplicates,
)

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC),
    "cropped": lambda image: image.crop((int(image.width * 0.12), 0, image.width, int(image.height * 0.9))),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated": lambda image: image.rotate(4, Image.Resampling.BICUBIC, fillcolor="white"),
}


def correlate(one: bytes, other: bytes) -> float:
    first, second = (squash(load(content, SIDE).pixels, SIDE) for content in (one, other))
    return correlate_images(first, second)


def make_images(spark: SparkSession, contents: list[bytes], labels: list[str]) -> DataFrame:
    rows = [
        (hashlib.sha256(c).hexdigest(), f"{n}.jpg", label, c)
        for n, (c, label) in enumerate(zip(contents, labels, strict=True))
    ]
    return spark.createDataFrame(rows, "image_id string, path string, label string, content binary")


def pairs_of(frame: DataFrame) -> set[tuple[str, str]]:
    return {(row["image_id"], row["near_duplicate_id"]) for row in frame.collect()}


# Pixels


@pytest.mark.parametrize("quality", [40, 95])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_photo_correlates(change: str, quality: int) -> None:
    for image in (paint(1), Image.open(io.BytesIO(load_known_photos()[0].content)).convert("RGB")):
        assert correlate(save(image), save(CHANGES[change](image), quality)) > MIN_CORRELATION


def test_different_photos_do_not_correlate() -> None:
    contents = [photo.content for photo in load_known_photos()]
    found = [correlate(one, other) for number, one in enumerate(contents) for other in contents[:number]]
    assert max(found) < MIN_CORRELATION - 0.2


def test_the_same_shape_in_another_colour_does_not_correlate() -> None:
    image = paint(2)
    swapped = Image.merge("RGB", [image.getchannel(band) for band in "BGR"])
    assert correlate(save(image), save(swapped)) < MIN_CORRELATION


def test_images_without_structure_do_not_correlate() -> None:
    white, black = (save(Image.new("RGB", (60, 40), colour)) for colour in ("white", "black"))
    assert correlate(white, black) == correlate(white, white) == correlate(white, save(paint(3))) == 0


# Candidate pairs


def scatter(spark: SparkSession, vectors: np.ndarray) -> DataFrame:
    rows = [(hashlib.sha256(bytes([n % 256, n // 256])).hexdigest(), v.tolist()) for n, v in enumerate(vectors)]
    return spark.createDataFrame(rows, "image_id string, features array<float>")


def test_candidate_pairs_are_found_across_blocks_once_each(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 64)).astype(np.float32) + 5  # whitening removes the common offset
    vectors[200:] = vectors[:100] + random.normal(scale=0.1, size=(100, 64))
    features = scatter(spark, vectors)
    ids = [row["image_id"] for row in features.collect()]
    planted = {tuple(sorted((ids[n], ids[200 + n]))) for n in range(100)}
    whole = find_candidate_pairs(features).collect()
    monkeypatch.setattr(candidate_pairs, "BLOCK_ROWS", 70)
    split = find_candidate_pairs(features).collect()
    for rows in (whole, split):
        pairs = [(row["image_id"], row["near_duplicate_id"]) for row in rows]
        assert {pair for pair, row in zip(pairs, rows, strict=True) if row["similarity"] >= MIN_SIMILARITY} == planted
        assert len(pairs) == len(set(pairs))


def test_dissimilar_images_are_paired_with_their_nearest_only(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 64)).astype(np.float32) + 5
    vectors[200:] = vectors[:100] + random.normal(scale=1.6, size=(100, 64))
    features = scatter(spark, vectors)
    ids = [row["image_id"] for row in features.collect()]
    planted = {tuple(sorted((ids[n], ids[200 + n]))) for n in range(100)}
    whole = pairs_of(find_candidate_pairs(features))
    monkeypatch.setattr(candidate_pairs, "BLOCK_ROWS", 70)
    assert whole == pairs_of(find_candidate_pairs(features)), "independent of the number of blocks"
    assert len(planted & whole) >= 80, "the minimum similarity alone finds three"
    assert len(whole) <= 300


def test_a_cluster_of_similar_images_keeps_few_pairs_and_stays_connected(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(400, 32)).astype(np.float32)
    vectors[100:] = random.normal(size=32) + random.normal(scale=0.001, size=(300, 32))
    features = scatter(spark, vectors)
    cluster = sorted(row["image_id"] for row in features.collect()[100:])
    found = pairs_of(find_candidate_pairs(features))
    assert len(found) <= 400 * (NEIGHBOUR_COUNT + 1)
    assert {(cluster[0], other) for other in cluster[1:]} <= found


def test_images_that_meet_in_cells_give_nearly_the_pairs_of_all_images(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    kinds = random.normal(scale=0.6, size=(60, 32))
    vectors = (kinds[np.arange(2400) % 60] + random.normal(size=(2400, 32))).astype(np.float32)
    vectors[1800:] = vectors[:600] + random.normal(scale=0.3, size=(600, 32))
    features = scatter(spark, vectors)
    exact = pairs_of(find_candidate_pairs(features))
    monkeypatch.setattr(candidate_pairs, "BLOCK_ROWS", 60)
    monkeypatch.setattr(block_pairs, "BLOCK_ROWS", 50)
    found = find_candidate_pairs(features, exact_count=2000).collect()
    pairs = {(row["image_id"], row["near_duplicate_id"]) for row in found}
    assert len(pairs) == len(found), "every pair once"
    assert len(exact & pairs) >= 0.95 * len(exact)
    ids = [row["image_id"] for row in features.collect()]
    planted = {tuple(sorted((ids[n], ids[1800 + n]))) for n in range(600)}
    assert len(planted & pairs) >= 0.99 * len(planted & exact)


def test_a_cell_of_very_many_similar_images_is_divided_and_stays_connected(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(400, 32)).astype(np.float32)
    vectors[100:] = random.normal(size=32) + random.normal(scale=0.001, size=(300, 32))
    features = scatter(spark, vectors)
    cluster = sorted(row["image_id"] for row in features.collect()[100:])
    monkeypatch.setattr(candidate_pairs, "BLOCK_ROWS", 70)
    found = pairs_of(find_candidate_pairs(features, exact_count=0))
    assert {(cluster[0], other) for other in cluster[1:]} <= found


def test_equal_images_are_similar() -> None:
    white = fit_whitening(np.full((100, 8), 8**-0.5, np.float32)).apply(np.ones((2, 8), np.float32))
    assert float(white[0] @ white[1]) == pytest.approx(1, abs=0.01)


def test_no_images_give_no_pairs(spark: SparkSession) -> None:
    assert find_candidate_pairs(spark.createDataFrame([], "image_id string, features array<float>")).collect() == []


# Both


def test_planted_near_duplicates_and_conflicting_labels_are_found_and_nothing_else(
    spark: SparkSession, tiny_backbone: Backbone, store_rows: StoreRows
) -> None:
    paintings = [paint(seed) for seed in range(8)]
    originals = [save(image) for image in paintings]
    changed = [save(change(image), 70) for change, image in zip(CHANGES.values(), paintings, strict=False)]
    images = make_images(spark, originals + changed, ["a"] * 12 + ["b"])
    ids = [hashlib.sha256(content).hexdigest() for content in originals + changed]
    near_duplicates = find_near_duplicates(extract_features(images, tiny_backbone), images).cache()
    assert near_duplicates.schema.simpleString() == spark.createDataFrame([], SCHEMA).schema.simpleString()
    assert pairs_of(near_duplicates) == {tuple(sorted((ids[n], ids[8 + n]))) for n in range(5)}
    (conflict,) = find_conflicts(near_duplicates, images).collect()
    assert {conflict["image_id"], conflict["near_duplicate_id"]} == {ids[4], ids[12]}
    assert {conflict["label"], conflict["other_label"]} == {"a", "b"}
    report = describe_near_duplicates(store_rows(images))(near_duplicates)
    assert report.numbers == {"pair_count": 5, "conflict_count": 1}
    assert report.images["most_doubtful_pairs"].startswith(b"\xff\xd8")
    near_duplicates.unpersist()


def test_the_pixels_of_a_pair_are_compared_once_until_the_decoder_or_the_alignment_changes(
    spark: SparkSession, tiny_backbone: Backbone
) -> None:
    paintings = [paint(seed) for seed in range(5)]
    contents = [save(image) for image in paintings] + [save(image, 70) for image in paintings[:3]]
    ids = [hashlib.sha256(content).hexdigest() for content in contents]
    images = make_images(spark, contents, ["a"] * 8)
    features = extract_features(images, tiny_backbone).cache()
    first, second, third = (tuple(sorted((ids[n], ids[5 + n]))) for n in range(3))
    stored = compare_pairs(features, images, None).cache()
    assert pairs_of(select_near_duplicates(stored)) == {first, second, third}

    def plant(pair: tuple[str, str], column: str, value: object) -> DataFrame:
        is_pair = (F.col("image_id") == pair[0]) & (F.col("near_duplicate_id") == pair[1])
        return stored.withColumn(column, F.when(is_pair, value).otherwise(F.col(column)))

    unchanged = plant(first, "correlation", 0.25).where(F.col("image_id") != second[0])
    found = pairs_of(select_near_duplicates(compare_pairs(features, images, unchanged)))
    assert found == {third}, "the same images are not searched again"
    moved = stored.withColumn("search", F.lit("of fewer images"))
    changed = moved.withColumn(
        "correlation", F.when(F.col("image_id") == first[0], 0.25).otherwise(F.col("correlation"))
    )
    remembered = compare_pairs(features, images, changed)
    assert pairs_of(select_near_duplicates(remembered)) == {second, third}, "the stored correlation counts"
    without = moved.where(F.col("image_id") != second[0])
    assert pairs_of(select_near_duplicates(compare_pairs(features, images, without))) == {first, second, third}
    outdated = plant(first, "correlation", 0.25).withColumn("comparison", F.lit("alignment 0"))
    assert pairs_of(select_near_duplicates(compare_pairs(features, images, outdated))) == {first, second, third}
    left = features.where(F.col("image_id") != ids[7])
    assert pairs_of(select_near_duplicates(compare_pairs(left, images, stored))) == {first, second}
    for frame in (features, stored):
        frame.unpersist()
