import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import onnx
import pytest
from conftest import MakePhoto
from deltalake import DeltaTable
from onnx import numpy_helper
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from test_lake import TIMEOUT_SECONDS, wait_for

from pipeline import features, images
from pipeline.backbone import Backbone, open_backbone
from pipeline.feature_cache import CACHE_SCHEMA, Embedded, Sources, describe_embedded
from pipeline.features import embed_images, extract_features
from pipeline.golden import KEY, read_golden_set
from pipeline.preprocess import EMPTY, TRUNCATED
from pipeline.schema import parse_schema
from resources.commits import without_promises
from resources.feature_cache import TABLE, FeatureCache
from resources.lake import Lake

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)

MakeImages = Callable[..., DataFrame]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(lake=Lake(root=str(tmp_path / "lake")))


@pytest.fixture(scope="module")
def another_backbone(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The same graph with doubled features."""
    model = onnx.load(tiny_backbone.path)
    (scale,) = model.graph.initializer
    scale.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(scale), scale.name))
    (golden,) = [entry for entry in model.metadata_props if entry.key == KEY]
    golden_set = read_golden_set(golden.value)
    golden.value = replace(golden_set, features=2 * golden_set.features).to_text()
    content = model.SerializeToString(deterministic=True)
    path = tmp_path_factory.mktemp("another") / f"{hashlib.sha256(content).hexdigest()}.onnx"
    path.write_bytes(content)
    return open_backbone(path)


@pytest.fixture(scope="session")
def make_images(spark: SparkSession) -> MakeImages:
    """Makes the images of a day from the bytes of its files; None is a file that could not be read."""

    def make(*contents: bytes | None, day: date = FRIDAY) -> DataFrame:
        ids = [None if content is None else hashlib.sha256(content).hexdigest() for content in contents]
        rows = [(day, id_, f"{number}.jpg", ids[number] and contents[number]) for number, id_ in enumerate(ids)]
        return spark.createDataFrame(rows, "day date, image_id string, path string, content binary")

    return make


@pytest.fixture(scope="session")
def photos(make_photo: MakePhoto) -> list[bytes]:
    return [make_photo("red", seed) for seed in range(4)]


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rows_of(frame: DataFrame) -> list[str]:
    return sorted(map(str, frame.collect()))


def version_of(cache: FeatureCache) -> int:
    return DeltaTable(cache.lake.folder(TABLE)).version()


def serve_only(cache: FeatureCache, images: DataFrame, backbone: Backbone) -> Embedded:
    """Embeds where embedding must fail: there is no graph, and whoever asks for the bytes of a picture dies."""
    dead = F.raise_error(F.lit("bytes were read")).cast("binary")
    return cache.embed(images.withColumn("content", dead), replace(backbone, path="/there/is/no/graph.onnx"))


def waiting_for_bytes(images: DataFrame, started: Path, go: Path) -> DataFrame:
    """The same images, whose bytes come when a file is there; whoever wants them leaves another file."""

    @partial(F.udf, returnType="binary", useArrow=False)
    def wait(content: bytes) -> bytes:
        started.touch()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not go.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(go)
            time.sleep(0.02)
        return content

    return images.coalesce(1).withColumn("content", wait("content"))


def test_the_same_picture_twice_in_a_day_is_embedded_once(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    embedded = cache.embed(make_images(photos[0], photos[1], photos[0]), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (0, 2)
    assert sorted(row["image_id"] for row in embedded.frame.collect()) == sorted(map(id_of, photos[:2]))


def test_pictures_of_yesterday_are_served_without_graph_bytes_or_commit(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    yesterday = cache.embed(make_images(*photos), tiny_backbone)
    before = version_of(cache)
    today = serve_only(cache, make_images(*photos, day=SATURDAY), tiny_backbone)
    assert (today.hit_count, today.miss_count) == (4, 0)
    assert version_of(cache) == before
    assert rows_of(today.frame.drop("day")) == rows_of(yesterday.frame.drop("day"))
    assert {row["day"] for row in today.frame.collect()} == {SATURDAY}
    assert without_promises(today.frame.schema) == parse_schema(features.SCHEMA)


def test_only_what_is_missing_is_embedded(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(*photos[:3]), tiny_backbone)
    embedded = cache.embed(make_images(*photos, day=SATURDAY), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 1)
    assert len(embedded.frame.collect()) == 4
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 4


def test_another_backbone_misses_and_going_back_hits(
    cache: FeatureCache,
    make_images: MakeImages,
    photos: list[bytes],
    tiny_backbone: Backbone,
    another_backbone: Backbone,
) -> None:
    images = make_images(*photos)
    first = cache.embed(images, tiny_backbone)
    other = cache.embed(images, another_backbone)
    back = serve_only(cache, images, tiny_backbone)
    assert (other.miss_count, back.miss_count) == (4, 0)
    assert rows_of(back.frame) == rows_of(first.frame) == rows_of(extract_features(images, tiny_backbone))
    assert rows_of(other.frame) == rows_of(extract_features(images, another_backbone))


def test_a_changed_byte_misses(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_images(photos[0] + b"\0"), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (0, 1)


def test_features_of_another_decoder_are_made_anew(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos)
    stale = embed_images(images.drop("day"), tiny_backbone, CACHE_SCHEMA).frame
    stale = stale.withColumns({"decoder": F.lit("0, Pillow 1.0"), "width": F.lit(1)})
    cache.lake.append(TABLE, stale.to(parse_schema(CACHE_SCHEMA)), "backbone", tiny_backbone.digest)
    embedded = cache.embed(images, tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (0, 4)
    assert rows_of(embedded.frame) == rows_of(extract_features(images, tiny_backbone))


def test_a_picture_of_two_days_of_a_run_is_embedded_for_the_first_and_a_hit_later(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos[:2]).union(make_images(*photos[:3], day=SATURDAY))
    embedded = cache.embed(images, tiny_backbone)
    assert embedded.sources == {FRIDAY: Sources(0, 2), SATURDAY: Sources(2, 1)}
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 3
    assert rows_of(embedded.frame) == rows_of(extract_features(images, tiny_backbone))


def test_images_without_a_day_are_cached_too(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_images(*photos).drop("day"), tiny_backbone)
    assert embedded.sources == {None: Sources(1, 3)}
    assert embedded.frame.schema == parse_schema(features.COLUMNS)
    assert rows_of(embedded.frame) == rows_of(extract_features(make_images(*photos).drop("day"), tiny_backbone))


def test_decoding_errors_are_served_too(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(photos[0][:300], b"", photos[1])
    cache.embed(images, tiny_backbone)
    embedded = serve_only(cache, images, tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 0)
    assert {row["error"] for row in embedded.frame.collect()} == {TRUNCATED, EMPTY, None}


def test_an_error_that_does_not_lie_in_the_bytes_is_tried_again(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos)
    made = embed_images(images.drop("day"), tiny_backbone, CACHE_SCHEMA).frame
    in_time = F.col("image_id") != id_of(photos[0])
    unlucky = made.withColumns(
        {"error": F.when(~in_time, "too slow"), "features": F.when(in_time, F.col("features"))}
    ).to(parse_schema(CACHE_SCHEMA))
    cache.lake.append(TABLE, unlucky.coalesce(1), "backbone", tiny_backbone.digest)
    embedded = cache.embed(images, tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 1)
    assert rows_of(embedded.frame) == rows_of(extract_features(images, tiny_backbone))


def test_an_empty_day_has_the_columns_and_no_rows(
    cache: FeatureCache, make_images: MakeImages, tiny_backbone: Backbone
) -> None:
    for empty in (make_images(), make_images(None, None)):
        embedded = cache.embed(empty, tiny_backbone)
        assert (embedded.hit_count, embedded.miss_count, embedded.frame.collect()) == (0, 0, [])
        assert without_promises(embedded.frame.schema) == parse_schema(features.SCHEMA)
    assert not cache.lake.folder(TABLE).exists()


def test_runs_that_embed_the_same_pictures_at_once_lose_and_double_nothing(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone, tmp_path: Path
) -> None:
    slow = waiting_for_bytes(make_images(*photos[1:]), tmp_path / "started", tmp_path / "go")
    with ThreadPoolExecutor(1) as pool:
        slow_run = pool.submit(cache.embed, slow, tiny_backbone)
        try:
            wait_for(tmp_path / "started", slow_run)
            quick = cache.embed(make_images(*photos[:3]), tiny_backbone)
        finally:
            (tmp_path / "go").touch()
        both = [quick, slow_run.result(TIMEOUT_SECONDS)]
    assert [each.miss_count for each in both] == [3, 3]
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 6
    assert [len(each.frame.collect()) for each in both] == [3, 3]
    later = serve_only(cache, make_images(*photos), tiny_backbone)
    assert rows_of(later.frame) == rows_of(extract_features(make_images(*photos), tiny_backbone))


def test_a_run_killed_between_writing_and_committing_leaves_the_cache_as_before(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    before = version_of(cache)
    rows = embed_images(make_images(*photos).drop("day"), tiny_backbone, CACHE_SCHEMA)
    assert rows.write_to(str(cache.lake.folder(TABLE)), rows.schema, "backbone")
    assert version_of(cache) == before
    embedded = cache.embed(make_images(*photos), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (1, 3)
    assert len(embedded.frame.collect()) == 4


def test_a_row_of_the_cache_is_what_extract_features_gives(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos, photos[0][:300]).drop("day")
    cache.embed(images, tiny_backbone)
    stored = DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().to_pylist()
    expected = [
        row.asDict() | {"decoder": features.DECODER} for row in extract_features(images, tiny_backbone).collect()
    ]
    assert sorted(stored, key=lambda row: row["image_id"]) == sorted(expected, key=lambda row: row["image_id"])


def test_features_are_read_from_the_files_that_hold_hits_and_no_others(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    for photo in photos:
        cache.embed(make_images(photo), tiny_backbone)
    embedded = serve_only(cache, make_images(photos[1], photos[2]), tiny_backbone)
    assert len(DeltaTable(cache.lake.folder(TABLE)).file_uris()) == 4
    assert len(embedded.frame.inputFiles()) == 2
    assert len(embedded.frame.collect()) == 2


def test_a_task_that_embeds_writes_what_it_made_itself(
    spark: SparkSession, cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    rows = embed_images(make_images(*photos).coalesce(1).drop("day"), tiny_backbone, CACHE_SCHEMA)
    (file,) = rows.write_to(str(cache.lake.folder(TABLE)), rows.schema, None)
    assert file.rows == 4
    assert set(file.cpu_seconds) == {"start", "read", "decode", "resize", "infer", "write"}
    stored = spark.read.parquet(f"{cache.lake.folder(TABLE)}/{file.path}")
    assert rows_of(stored) == rows_of(rows.frame)


def test_of_a_stored_day_that_is_known_only_ids_are_read(
    spark: SparkSession, cache: FeatureCache, tmp_path: Path, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.jpg").write_bytes(photos[0])
    cache.lake.write("images", images.read_days(spark, {FRIDAY: str(tmp_path / "day")}), [str(FRIDAY)])
    stored = cache.lake.read(spark, "images", [str(FRIDAY)])
    cache.embed(stored, tiny_backbone)
    frame = cache.embed(stored, tiny_backbone).frame
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert "ReadSchema: struct<image_id:string>" in plan
    assert "content" not in plan


def test_the_page_of_each_day_says_what_came_from_the_cache_and_what_that_saved(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_images(*photos[:3]).union(make_images(*photos, day=SATURDAY)), tiny_backbone)
    stored = embedded.frame.cache()
    pages = [describe_embedded(embedded, 0.05)(stored.where(F.col("day") == day)).numbers for day in (FRIDAY, SATURDAY)]
    assert [page["cache_hit_count"] for page in pages] == [1, 3]
    assert [page["embedded_count"] for page in pages] == [2, 1]
    assert [page["readable_count"] for page in pages] == [3, 4]
    assert [page["cache_hit_share"] for page in pages] == [1 / 3, 3 / 4]
    costs = [(run.row_count, run.seconds) for run in cache.lake.list_appended(TABLE, "backbone", tiny_backbone.digest)]
    assert [count for count, _ in costs] == [3, 1]
    assert pages[0]["embedded_per_second"] == pages[1]["embedded_per_second"] == 3 / costs[0][1]
    spent = sum(embedded.cpu_seconds.values())
    assert pages[0]["cpu_seconds"] == spent > 0
    assert pages[0]["dollars_per_million"] == pytest.approx(spent / 3 * 1e6 / 3600 * 0.05)
    mean_seconds = sum(seconds for _, seconds in costs) / 4
    assert [page["seconds_saved"] for page in pages] == [mean_seconds, 3 * mean_seconds]


def test_the_page_of_a_day_all_from_the_cache_names_no_speed(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(*photos), tiny_backbone)
    embedded = serve_only(cache, make_images(*photos), tiny_backbone)
    page = describe_embedded(embedded, 0.05)(embedded.frame).numbers
    assert (page["cache_hit_count"], page["embedded_count"]) == (4, 0)
    assert "embedded_per_second" not in page
    assert page["seconds_saved"] > 0
    unmeasured = replace(embedded, seconds_per_picture=None)
    assert "seconds_saved" not in describe_embedded(unmeasured, 0.05)(embedded.frame).numbers
