import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from itertools import count
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MakePhoto
from deltalake import DeltaTable
from onnx import numpy_helper
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.embed.file_kinds import DECODER
from pipeline.embed.golden_set import KEY, read_golden_set
from pipeline.embed.reasons import EMPTY, TOO_MANY_PIXELS, TRUNCATED
from pipeline.images import feature_cache, features
from pipeline.images.cache_lookup import Sources, find_images
from pipeline.images.embedding_costs import describe_embedded
from pipeline.images.feature_cache import CACHE_SCHEMA, Embedded, embed_with_cache
from pipeline.images.features import embed_stored, extract_features
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.digest_index import RowNumbers
from pipeline.storage.rows import Appended, LazyRows
from pipeline.storage.rows import rows_of as lazy_rows
from pipeline.storage.stored_rows import StoredRows
from resources.lake.commits import make_nullable
from resources.lake.feature_cache import TABLE, CachedFeatures, FeatureCache
from resources.lake.lake import Lake
from resources.lake.maintenance import compact_lake
from resources.settings import Settings

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
STAGES = {"start", "read", "decode", "resize", "infer", "hand over", "write"}

MakeDays = Callable[[Mapping[date | None, Sequence[bytes | None]]], StoredRows]
MakeImages = Callable[..., StoredRows]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(lake=Lake(root=str(tmp_path / "lake")), settings=Settings())


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


@pytest.fixture
def make_days(spark: SparkSession, tmp_path: Path) -> MakeDays:
    """Stores the images of several days, or of None, from the bytes of their files; None is an unreadable file."""
    lakes = count()
    schema = "day date, image_id string, path string, length long, content binary"

    def make(days: Mapping[date | None, Sequence[bytes | None]]) -> StoredRows:
        rows = [
            (day, None if content is None else id_of(content), f"{number}.jpg", len(content or b""), content)
            for day, contents in days.items()
            for number, content in enumerate(contents)
        ]
        frame, keys = spark.createDataFrame(rows, schema), [str(day) for day in days if day]
        lake = Lake(root=str(tmp_path / f"images {next(lakes)}"))
        lake.write("images", frame if keys else frame.drop("day"), keys or None)
        return lake.read(spark, "images", keys or None)

    return make


@pytest.fixture
def make_images(make_days: MakeDays) -> MakeImages:
    """Stores the images of one day."""
    return lambda *contents, day=FRIDAY: make_days({day: contents})


@pytest.fixture(scope="session")
def photos(make_photo: MakePhoto) -> list[bytes]:
    return [make_photo("red", seed) for seed in range(4)]


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rows_of(frame: DataFrame) -> list[str]:
    return sorted(map(str, frame.collect()))


def append(cache: FeatureCache, backbone: Backbone, rows: DataFrame) -> Appended:
    return cache.open_table(rows.sparkSession, backbone).append(lazy_rows(rows))


def version_of(cache: FeatureCache) -> int:
    return DeltaTable(cache.lake.folder(TABLE)).version()


def serve_only(cache: FeatureCache, images: StoredRows, backbone: Backbone) -> Embedded:
    """Embeds without a graph and without image bytes, so that every miss fails."""
    for file in images.files:
        path = f"{images.folder}/{file.path}"
        pq.write_table(pq.ParquetFile(path).read().drop_columns("content"), path)
    return cache.embed(images, replace(backbone, path="/there/is/no/graph.onnx"))


def embed_all(images: StoredRows, backbone: Backbone) -> LazyRows:
    return embed_stored(images, find_images(images), backbone, CACHE_SCHEMA)


def test_an_image_that_occurs_twice_on_a_day_is_embedded_once(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    embedded = cache.embed(make_images(photos[0], photos[1], photos[0]), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (0, 2)
    assert sorted(row["image_id"] for row in embedded.rows.frame.collect()) == sorted(map(id_of, photos[:2]))


def test_images_of_yesterday_are_served_without_graph_bytes_or_commit(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    yesterday = cache.embed(make_images(*photos), tiny_backbone)
    before = version_of(cache)
    today = serve_only(cache, make_images(*photos, day=SATURDAY), tiny_backbone)
    assert (today.hit_count, today.miss_count) == (4, 0)
    assert version_of(cache) == before
    assert rows_of(today.rows.frame.drop("day")) == rows_of(yesterday.rows.frame.drop("day"))
    assert {row["day"] for row in today.rows.frame.collect()} == {SATURDAY}
    assert make_nullable(today.rows.frame.schema) == parse_schema(features.SCHEMA)


@pytest.mark.parametrize("limit", [pytest.param(2**12, id="driver"), pytest.param(0, id="workers")])
def test_served_rows_are_written_as_their_frame_has_them(
    cache: FeatureCache,
    make_images: MakeImages,
    photos: list[bytes],
    tiny_backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    cache.embed(make_images(*photos[:2]), tiny_backbone)
    monkeypatch.setattr(feature_cache, "DRIVER_ROWS", limit)
    images = make_images(*photos, day=SATURDAY)
    embedded = cache.embed(images, tiny_backbone)
    cache.lake.write("image_features", embedded.rows, [str(SATURDAY)])
    written = cache.lake.read(images.spark, "image_features", [str(SATURDAY)])
    assert rows_of(written.frame) == rows_of(embedded.rows.frame)


def test_only_missing_images_are_embedded(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(*photos[:3]), tiny_backbone)
    embedded = cache.embed(make_images(*photos, day=SATURDAY), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 1)
    assert len(embedded.rows.frame.collect()) == 4
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 4


def test_another_backbone_misses_and_switching_back_hits(
    cache: FeatureCache,
    make_images: MakeImages,
    photos: list[bytes],
    tiny_backbone: Backbone,
    another_backbone: Backbone,
) -> None:
    images = make_images(*photos)
    expected, of_other = (rows_of(extract_features(images.frame, each)) for each in (tiny_backbone, another_backbone))
    first = cache.embed(images, tiny_backbone)
    other = cache.embed(images, another_backbone)
    back = serve_only(cache, images, tiny_backbone)
    assert (other.miss_count, back.miss_count) == (4, 0)
    assert rows_of(back.rows.frame) == rows_of(first.rows.frame) == expected
    assert rows_of(other.rows.frame) == of_other


def test_a_changed_byte_misses(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_images(photos[0] + b"\0"), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (0, 1)


def test_features_of_another_decoder_are_computed_again(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos)
    made = extract_features(images.frame.drop("day"), tiny_backbone)
    stale = made.withColumns({"decoder": F.lit("0, Pillow 1.0"), "width": F.lit(1)})
    append(cache, tiny_backbone, stale.to(parse_schema(CACHE_SCHEMA)))
    logged: list[str] = []
    table = cache.open_table(images.spark, tiny_backbone)
    embedded = embed_with_cache(images, tiny_backbone, table, log=logged.append)
    assert (embedded.hit_count, embedded.miss_count) == (0, 4)
    assert rows_of(embedded.rows.frame) == rows_of(extract_features(images.frame, tiny_backbone))
    (message,) = logged
    assert message.startswith("4 images were embedded by '0, Pillow 1.0' and are embedded again by '5, ")
    embed_with_cache(images, tiny_backbone, table, log=logged.append)
    assert len(logged) == 1, "the next run finds all of them"


def test_an_image_on_two_days_of_a_run_is_a_miss_on_the_first_and_a_hit_on_the_second(
    cache: FeatureCache, make_days: MakeDays, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_days({FRIDAY: photos[:2], SATURDAY: photos[:3]})
    embedded = cache.embed(images, tiny_backbone)
    assert embedded.sources == {FRIDAY: Sources(0, 2), SATURDAY: Sources(2, 1)}
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 3
    assert rows_of(embedded.rows.frame) == rows_of(extract_features(images.frame, tiny_backbone))


def test_images_without_a_day_are_cached(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_images(*photos, day=None), tiny_backbone)
    assert embedded.sources == {None: Sources(1, 3)}
    assert embedded.rows.frame.schema == parse_schema(features.TRAINING_SCHEMA)
    extracted = extract_features(make_images(*photos, day=None).frame, tiny_backbone)
    assert rows_of(embedded.rows.frame) == rows_of(extracted.drop("miniature"))


def test_decoding_errors_are_cached(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(photos[0][:300], b"", photos[1])
    cache.embed(images, tiny_backbone)
    embedded = serve_only(cache, images, tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 0)
    assert {row["error"] for row in embedded.rows.frame.collect()} == {TRUNCATED, EMPTY, None}


def test_an_image_whose_error_was_not_caused_by_its_bytes_is_tried_again(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos)
    made = extract_features(images.frame.drop("day"), tiny_backbone).withColumn("decoder", F.lit(DECODER))
    in_time = F.col("image_id") != id_of(photos[0])
    slow = made.withColumns({"error": F.when(~in_time, "too slow"), "features": F.when(in_time, F.col("features"))}).to(
        parse_schema(CACHE_SCHEMA)
    )
    append(cache, tiny_backbone, slow.coalesce(1))
    embedded = cache.embed(images, tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (3, 1)
    assert rows_of(embedded.rows.frame) == rows_of(extract_features(images.frame, tiny_backbone))


def test_an_image_with_too_many_pixels_is_tried_again_when_the_limit_is_raised(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    strict = FeatureCache(lake=cache.lake, settings=Settings(max_pixels=1_000))
    (row,) = strict.embed(make_images(photos[0]), tiny_backbone).rows.frame.collect()
    assert (row["error"], row["width"], row["height"], row["features"]) == (TOO_MANY_PIXELS, 48, 40, None)
    assert strict.embed(make_images(photos[0]), tiny_backbone).miss_count == 0, "the limit is the same"
    embedded = cache.embed(make_images(photos[0]), tiny_backbone)
    assert embedded.miss_count == 1
    assert rows_of(embedded.rows.frame) == rows_of(extract_features(make_images(photos[0]).frame, tiny_backbone))


@pytest.mark.parametrize("column", ["quality_flags", "miniature"])
def test_rows_of_an_earlier_version_without_a_column_are_served_with_null(
    column: str, cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(photos[0])
    made = extract_features(images.frame.drop("day"), tiny_backbone).withColumn("decoder", F.lit(DECODER))
    append(cache, tiny_backbone, made.drop(column).coalesce(1))
    (row,) = serve_only(cache, images, tiny_backbone).rows.frame.collect()
    assert (row[column], len(row["features"])) == (None, tiny_backbone.dimension)
    embedded = cache.embed(make_images(*photos), tiny_backbone)
    assert sorted(row[column] is None for row in embedded.rows.frame.collect()) == [False] * 3 + [True]


def test_an_empty_day_has_the_columns_and_no_rows(
    cache: FeatureCache, make_images: MakeImages, tiny_backbone: Backbone
) -> None:
    for empty in (make_images(), make_images(None, None)):
        embedded = cache.embed(empty, tiny_backbone)
        assert (embedded.hit_count, embedded.miss_count, embedded.rows.frame.collect()) == (0, 0, [])
        assert make_nullable(embedded.rows.frame.schema) == parse_schema(features.SCHEMA)
    assert not Path(cache.lake.folder(TABLE)).exists()


def test_concurrent_runs_of_the_same_images_lose_and_duplicate_no_rows(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    class OvertakenTable(CachedFeatures):
        """Another run finishes after this one has looked up its images and before it embeds them."""

        def append(self, rows: LazyRows) -> Appended:
            quick = cache.embed(make_images(*photos[:3]), tiny_backbone)
            assert quick.miss_count == len(quick.rows.frame.collect()) == 3
            return super().append(rows)

    images = make_images(*photos[1:])
    table = cache.open_table(images.spark, tiny_backbone)
    overtaken = OvertakenTable(**{field.name: getattr(table, field.name) for field in fields(table)})
    embedded = embed_with_cache(images, tiny_backbone, overtaken)
    assert embedded.miss_count == len(embedded.rows.frame.collect()) == 3
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 6
    later = serve_only(cache, make_images(*photos), tiny_backbone)
    assert rows_of(later.rows.frame) == rows_of(extract_features(make_images(*photos).frame, tiny_backbone))


def test_rows_that_compaction_moves_while_a_run_embeds_are_served_and_embedded_once(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    class CompactedTable(CachedFeatures):
        """The table is compacted and indexed before a run has looked up its rows, and again once it has added some."""

        def find_rows(self, rows: StoredRows, ids: pa.ChunkedArray) -> RowNumbers:
            assert compact_lake(self.lake) == []
            return super().find_rows(rows, ids)

        def append(self, rows: LazyRows) -> Appended:
            appended = super().append(rows)
            assert compact_lake(self.lake) == []
            assert not {*appended.files} & {*self.read().files}
            return appended

    for photo in photos[:2]:
        cache.embed(make_images(photo), tiny_backbone)
    images = make_images(*photos)
    table = cache.open_table(images.spark, tiny_backbone)
    compacted = CompactedTable(**{field.name: getattr(table, field.name) for field in fields(table)})
    embedded = embed_with_cache(images, tiny_backbone, compacted)
    assert (embedded.hit_count, embedded.miss_count) == (2, 2)
    assert rows_of(embedded.rows.frame) == rows_of(extract_features(images.frame, tiny_backbone))
    assert DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().num_rows == 4
    assert rows_of(serve_only(cache, make_images(*photos), tiny_backbone).rows.frame) == rows_of(embedded.rows.frame)


def test_a_run_killed_between_writing_and_committing_leaves_the_cache_unchanged(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    before = version_of(cache)
    rows = embed_all(make_images(*photos), tiny_backbone)
    assert rows.write_to(str(cache.lake.folder(TABLE)), rows.schema, "backbone")
    assert version_of(cache) == before
    embedded = cache.embed(make_images(*photos), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (1, 3)
    assert len(embedded.rows.frame.collect()) == 4


def test_a_row_of_the_cache_equals_the_result_of_extract_features(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    images = make_images(*photos, photos[0][:300], day=None)
    cache.embed(images, tiny_backbone)
    stored = DeltaTable(cache.lake.folder(TABLE)).to_pyarrow_table().to_pylist()
    expected = [row.asDict() | {"decoder": DECODER} for row in extract_features(images.frame, tiny_backbone).collect()]
    assert sorted(stored, key=lambda row: row["image_id"]) == sorted(expected, key=lambda row: row["image_id"])


def test_only_files_with_hits_are_read(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    for photo in photos:
        cache.embed(make_images(photo), tiny_backbone)
    embedded = serve_only(cache, make_images(photos[1], photos[2]), tiny_backbone)
    (first, *_, last) = [cache.embed(make_images(photo), tiny_backbone) for photo in photos]
    assert first.hit_count == last.hit_count == 1
    unwanted = [id_of(photos[0]), id_of(photos[3])]
    for file in Path(cache.lake.folder(TABLE)).rglob("*.parquet"):
        if pq.read_table(file)["image_id"][0].as_py() in unwanted:
            file.unlink()
    assert len(embedded.rows.frame.collect()) == 2


def test_a_lookup_reads_no_ids_of_files_that_the_index_excludes(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    for photo in photos[:3]:
        cache.embed(make_images(photo), tiny_backbone)
    table = cache.open_table(make_images(photos[0]).spark, tiny_backbone)
    table.index.complete(table.read().files, is_complete=True)
    for file in table.read().files[1:]:
        Path(table.folder, file.path).write_bytes(b"not to be read")
    kept = pq.read_table(f"{table.folder}/{table.read().files[0].path}", partitioning=None)["image_id"][0].as_py()
    (known,) = [photo for photo in photos if id_of(photo) == kept]
    embedded = cache.embed(make_images(known, photos[3]), tiny_backbone)
    assert (embedded.hit_count, embedded.miss_count) == (1, 1)
    expected = extract_features(make_images(known, photos[3]).frame, tiny_backbone)
    assert rows_of(embedded.rows.frame) == rows_of(expected)


def test_an_index_is_no_part_of_the_table(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(*photos), tiny_backbone)
    table = cache.open_table(make_images(photos[0]).spark, tiny_backbone)
    table.index.complete(table.read().files, is_complete=True)
    delta = DeltaTable(table.folder)
    assert delta.vacuum(0, dry_run=True, full=True, enforce_retention_duration=False) == []
    assert (delta.to_pyarrow_table().num_rows, table.read().frame.count()) == (4, 4)


def test_a_task_that_embeds_also_writes_its_rows(
    spark: SparkSession, cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    rows = embed_all(make_images(*photos), tiny_backbone)
    files = rows.write_to(str(cache.lake.folder(TABLE)), rows.schema, None)
    assert sum(file.rows for file in files) == 4
    assert all(set(file.cpu_seconds) == STAGES for file in files)
    stored = spark.read.parquet(*(f"{cache.lake.folder(TABLE)}/{file.path}" for file in files))
    assert rows_of(stored) == rows_of(rows.frame)


def test_only_the_requested_images_are_embedded(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    wanted = [id_of(photos[1]), id_of(photos[2])]
    embedded = cache.embed(make_images(*photos), tiny_backbone, wanted)
    assert embedded.miss_count == 2
    assert sorted(row["image_id"] for row in embedded.rows.frame.collect()) == sorted(wanted)


def test_the_page_of_each_day_shows_cache_hits_and_the_time_saved(
    cache: FeatureCache, make_days: MakeDays, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(photos[0]), tiny_backbone)
    embedded = cache.embed(make_days({FRIDAY: photos[:3], SATURDAY: photos}), tiny_backbone)
    stored = embedded.rows.frame.cache()
    reports = describe_embedded(embedded, 0.05)(stored.toArrow())
    pages = [reports[day].numbers for day in (FRIDAY, SATURDAY)]
    assert [page["cache_hit_count"] for page in pages] == [1, 3]
    assert [page["embedded_count"] for page in pages] == [2, 1]
    assert [page["readable_count"] for page in pages] == [3, 4]
    assert [page["cache_hit_share"] for page in pages] == [1 / 3, 3 / 4]
    runs = cache.open_table(stored.sparkSession, tiny_backbone).list_appended()
    costs = [(run.row_count, run.seconds) for run in runs]
    assert [count for count, _ in costs] == [3, 1]
    assert pages[0]["embedded_per_second"] == pages[1]["embedded_per_second"] == 3 / costs[0][1]
    spent = sum(embedded.cpu_seconds.values())
    assert pages[0]["cpu_seconds"] == spent > 0
    assert pages[0]["dollars_per_million"] == pytest.approx(spent / 3 * 1e6 / 3600 * 0.05)
    mean_seconds = sum(seconds for _, seconds in costs) / 4
    assert [page["seconds_saved"] for page in pages] == [mean_seconds, 3 * mean_seconds]


def test_the_page_of_a_day_without_misses_shows_no_speed(
    cache: FeatureCache, make_images: MakeImages, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    cache.embed(make_images(*photos), tiny_backbone)
    embedded = serve_only(cache, make_images(*photos), tiny_backbone)
    (report,) = describe_embedded(embedded, 0.05)(embedded.rows.frame.toArrow()).values()
    page = report.numbers
    assert (page["cache_hit_count"], page["embedded_count"]) == (4, 0)
    assert "embedded_per_second" not in page
    assert page["seconds_saved"] > 0
    unmeasured = replace(embedded, seconds_per_image=None)
    (report,) = describe_embedded(unmeasured, 0.05)(embedded.rows.frame.toArrow()).values()
    assert "seconds_saved" not in report.numbers


def test_the_page_of_a_day_without_new_images_has_them_all_and_embedded_none(
    cache: FeatureCache, make_days: MakeDays, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    day = make_days({FRIDAY: photos})
    stored = cache.embed(day, tiny_backbone).rows.frame.toArrow()
    again = cache.embed(day, tiny_backbone, [])
    page = describe_embedded(again, 0.05)(stored)[FRIDAY].numbers
    assert (page["cache_hit_count"], page["embedded_count"], page["readable_count"]) == (0, 0, 4)
    assert "cache_hit_share" not in page


def test_a_task_that_writes_several_files_reports_its_seconds_once(
    cache: FeatureCache, make_photo: MakePhoto, make_days: MakeDays, tiny_backbone: Backbone
) -> None:
    images = make_days({date(2026, 11, day): [make_photo("red", 100 + day)] for day in range(1, 10)})
    rows = embed_all(images, tiny_backbone)
    files = rows.write_to(str(cache.lake.folder(TABLE)), rows.schema, "backbone", "run", max_seconds=0)
    assert [file.rows for file in files] == [1] * 9, "four tasks"
    assert sum(bool(file.cpu_seconds) for file in files) == 4
    eager = FeatureCache(lake=cache.lake, settings=Settings().replace(commit_seconds=0.001))
    embedded = eager.embed(images, tiny_backbone)
    assert (embedded.miss_count, len(embedded.rows.frame.collect())) == (9, 9)
    assert set(embedded.cpu_seconds) == STAGES
