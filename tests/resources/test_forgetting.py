"""A forgotten image is in no file of the lake, whatever version of whatever table or document had it."""

import io
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from pipeline.embed.backbone import Backbone
from pipeline.images.feature_cache import CACHE_SCHEMA
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.rows import rows_of
from resources.lake import forgetting
from resources.lake.commits import LakeError, version_of
from resources.lake.documents import ERASED, forget_in_documents
from resources.lake.feature_cache import CachedFeatures, FeatureCache
from resources.lake.forgetting import forget_in_tables
from resources.lake.lake import Lake
from resources.lake.maintenance import compact_lake
from resources.settings import Settings

DAYS = ("2026-11-20", "2026-11-21")
IDS = [sha256(bytes([number])).hexdigest() for number in range(4)]
GONE = IDS[0]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def images(spark: SparkSession) -> Callable[..., DataFrame]:
    """All four images on each of these days, in two files."""

    def make(*days: str) -> DataFrame:
        rows = [
            (date.fromisoformat(day), image_id, f"bytes of {image_id}".encode()) for day in days for image_id in IDS
        ]
        return spark.createDataFrame(rows, "day date, image_id string, content binary").repartition(2)

    return make


@pytest.fixture
def cache(lake: Lake, spark: SparkSession, tiny_backbone: Backbone) -> CachedFeatures:
    cache = FeatureCache(lake=lake, settings=Settings()).open_table(spark, tiny_backbone)
    for image_id in IDS:
        row = (image_id, [0.5], 1, 1, "JPEG", None, cache.value, None, "decoder", None)
        cache.append(rows_of(spark.createDataFrame([row], parse_schema(CACHE_SCHEMA))))
    return cache


def files_with(lake: Lake, image_id: str) -> list[str]:
    """All files, of former versions too, with the image."""
    key = bytes.fromhex(image_id[:16])[::-1]
    found = []
    for file in Path(lake.root).rglob("*"):
        if file.is_file():
            held = file.read_bytes()
            if file.suffix == ".parquet" and held[-4:] == b"PAR1":
                held += str(pq.read_table(file, partitioning=None).to_pydict()).encode()
            if image_id.encode() in held or key in held:
                found.append(str(file.relative_to(lake.root)))
    return found


def ids(lake: Lake, table: str) -> list[str]:
    return sorted(DeltaTable(lake.folder(table)).to_pyarrow_table()["image_id"].to_pylist())


def test_no_version_of_a_table_has_the_image(lake: Lake, images: Callable[..., DataFrame]) -> None:
    lake.write("images", images(*DAYS), DAYS)
    lake.write("images", images(DAYS[0]), DAYS[:1])
    compact_lake(lake)
    lake.write("training_images", images(DAYS[0]).drop("day"), None)
    killed = Path(lake.folder("images"), f"day={DAYS[0]}", "killed.parquet")
    killed.write_bytes(f"half a file, with {GONE}".encode())
    assert len(files_with(lake, GONE)) > 5
    others = sorted(files_with(lake, IDS[1]))
    assert forget_in_tables(lake, GONE)["images"] > 4
    assert files_with(lake, GONE) == []
    assert ids(lake, "images") == sorted(IDS[1:] * 2)
    assert ids(lake, "training_images") == sorted(IDS[1:])
    assert [version_of(DeltaTable(lake.folder("images")), day) for day in DAYS] == [2, 1]
    assert set(others) - set(files_with(lake, IDS[1])), "files with both are rewritten"
    assert forget_in_tables(lake, GONE) == {"images": 0, "training_images": 0}


def test_former_files_without_the_image_stay_for_their_readers(
    lake: Lake, images: Callable[..., DataFrame], spark: SparkSession
) -> None:
    lake.write("images", images(*DAYS).where(f"image_id != '{GONE}'"), DAYS)
    located = lake.read(spark, "images", DAYS)
    lake.write("images", images(*DAYS), DAYS)
    forget_in_tables(lake, GONE)
    assert located.frame.count() == 6


def test_the_cache_and_its_index_forget(lake: Lake, cache: CachedFeatures) -> None:
    compact_lake(lake)
    cache.index.complete(cache.read().files, is_complete=True)
    assert any("_index" in file for file in files_with(lake, GONE))
    forget_in_tables(lake, GONE)
    assert files_with(lake, GONE) == []
    found = cache.find_rows(cache.read(), pa.chunked_array([IDS]))
    assert sorted(row for rows in found.values() for row in rows.tolist()) == [0, 1, 2]


def test_a_later_image_of_the_same_shot_no_longer_names_it(lake: Lake, spark: SparkSession) -> None:
    rows = [(date.fromisoformat(DAYS[1]), IDS[1], GONE), (date.fromisoformat(DAYS[1]), IDS[2], IDS[1])]
    schema = "day date, image_id string, near_duplicate_of string"
    lake.write("predictions", spark.createDataFrame(rows, schema), DAYS[1:])
    forget_in_tables(lake, GONE)
    assert files_with(lake, GONE) == []
    stored = lake.read(spark, "predictions", DAYS[1:]).frame.collect()
    assert {row["image_id"]: row["near_duplicate_of"] for row in stored} == {IDS[1]: None, IDS[2]: IDS[1]}


def test_a_leakage_group_is_named_by_its_next_image(lake: Lake, spark: SparkSession) -> None:
    first, *rest = sorted(IDS)
    rows = [(image_id, first if image_id != rest[2] else rest[2]) for image_id in sorted(IDS)]
    lake.write("training_split", spark.createDataFrame(rows, "image_id string, group string"), None)
    forget_in_tables(lake, first)
    stored = DeltaTable(lake.folder("training_split")).to_pyarrow_table().to_pylist()
    assert {row["image_id"]: row["group"] for row in stored} == {rest[0]: rest[0], rest[1]: rest[0], rest[2]: rest[2]}


def test_a_run_that_keeps_writing_the_image_is_named(
    lake: Lake, images: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write("images", images(DAYS[0]), DAYS[:1])
    rewrite = forgetting._rewrite

    def rewrite_late(*arguments: object) -> object:
        swap = rewrite(*arguments)  # type: ignore[arg-type]
        lake.write("images", images(DAYS[0]), DAYS[:1])
        return swap

    monkeypatch.setattr(forgetting, "_rewrite", rewrite_late)
    monkeypatch.setattr(forgetting, "MAX_ROUNDS", 2)
    with pytest.raises(LakeError, match="other runs keep writing the image"):
        forget_in_tables(lake, GONE)
    assert ids(lake, "images") == sorted(IDS)


def test_documents_lose_the_image(lake: Lake) -> None:
    folder = Path(lake.root, "models", "classifier", "0123")
    (folder / "stages").mkdir(parents=True)
    members = pa.table({"image_id": IDS, "path": [f"{image_id}.jpg" for image_id in IDS], "label": [*"aabb"]})
    pq.write_table(members, folder / "training_set.parquet", row_group_size=2)
    fits = members.select(["image_id"]).replace_schema_metadata({"classes": '["a", "b"]'})
    pq.write_table(fits, folder / "cross_fits.parquet")
    pq.write_table(pa.table({"coefficients": [1.0]}), folder / "other.parquet")
    (folder / "stages" / "part.parquet").write_bytes(b"of the model")
    for room, name in (("reports", "html"), ("review_forms", "csv")):
        Path(lake.root, room).mkdir()
        for day in DAYS:
            Path(lake.root, room, f"{day}.{name}").write_text(f"\ufeffday,image_id\r\n{day},{IDS[1]}\r\n")
    form = Path(lake.root, "review_forms", f"{DAYS[0]}.csv")
    form.write_bytes(form.read_bytes() + f'{DAYS[0]},{GONE}\r\n"a, b",x\r\n'.encode())
    changed = forget_in_documents(lake, GONE, [DAYS[0]])
    assert sorted(changed) == [
        "models/classifier/0123/cross_fits.parquet",
        "models/classifier/0123/training_set.parquet",
        f"reports/{DAYS[0]}.html",
        f"review_forms/{DAYS[0]}.csv",
    ]
    assert files_with(lake, GONE) == []
    assert form.read_bytes().decode() == f'\ufeffday,image_id\r\n{DAYS[0]},{IDS[1]}\r\n"a, b",x\r\n'
    assert [path.name for path in Path(lake.root, "reports").iterdir()] == [f"{DAYS[1]}.html"]
    stored = pq.read_table(folder / "training_set.parquet")
    assert stored["path"].to_pylist() == [ERASED, *(f"{image_id}.jpg" for image_id in IDS[1:])]
    assert stored["label"].to_pylist() == [*"aabb"]
    fitted = pq.read_table(io.BytesIO((folder / "cross_fits.parquet").read_bytes()))
    assert fitted["image_id"].to_pylist() == stored["image_id"].to_pylist(), "one random id in both"
    assert fitted.schema.metadata[b"classes"] == b'["a", "b"]'
    assert forget_in_documents(lake, GONE, [DAYS[0]]) == []
