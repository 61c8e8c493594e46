"""Maintenance makes a lake quick to read and changes no row; what a table cannot take does not stop the others."""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from assets.housekeeping import describe_sizes, housekeeping
from pipeline.embed.backbone import Backbone
from pipeline.images.feature_cache import CACHE_SCHEMA
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.index_segments import list_segments
from pipeline.storage.rows import rows_of
from resources.lake.commits import version_of
from resources.lake.feature_cache import CachedFeatures, FeatureCache
from resources.lake.lake import Lake
from resources.lake.maintenance import LOG, Size, compact_lake, measure_lake, shorten_logs
from resources.settings import Settings

DAYS = [str(date(2026, 11, 1) + timedelta(days=number)) for number in range(3)]


@pytest.fixture
def frame(spark: SparkSession) -> Callable[[str], DataFrame]:
    def make(day: str) -> DataFrame:
        rows = [(date.fromisoformat(day), f"{day} {row}") for row in range(20)]
        return spark.createDataFrame(rows, "day date, image_id string").repartition(4)

    return make


@pytest.fixture
def lake(tmp_path: Path, frame: Callable[[str], DataFrame]) -> Lake:
    """A lake with a table of three days, each written twice."""
    lake = Lake(root=str(tmp_path / "lake"))
    for day in DAYS * 2:
        lake.write("predictions", frame(day), [day])
    return lake


@pytest.fixture
def cache(lake: Lake, spark: SparkSession, tiny_backbone: Backbone) -> CachedFeatures:
    """The cache of three runs of four images each."""
    cache = FeatureCache(lake=lake, settings=Settings()).open_table(spark, tiny_backbone)
    for run in range(3):
        rows = [
            (sha256(f"{run} {row}".encode()).hexdigest(), [0.5], 1, 1, "JPEG", None, cache.value, None, "decoder", None)
            for row in range(4)
        ]
        cache.append(rows_of(spark.createDataFrame(rows, parse_schema(CACHE_SCHEMA)).coalesce(1)))
    return cache


def rows(lake: Lake, spark: SparkSession) -> list[str]:
    return sorted(map(str, lake.read(spark, "predictions", DAYS).frame.collect()))


def test_every_table_is_compacted_and_the_cache_is_indexed(
    lake: Lake, cache: CachedFeatures, spark: SparkSession
) -> None:
    expected, cached = rows(lake, spark), sorted(map(str, cache.read().frame.collect()))
    assert compact_lake(lake) == []
    assert (len(lake.read(spark, "predictions", DAYS).files), len(cache.read().files)) == (3, 1)
    assert rows(lake, spark) == expected
    assert sorted(map(str, cache.read().frame.collect())) == cached
    (segment,) = list_segments(cache.index.folder)
    assert segment.files == tuple(file.path for file in cache.read().files)
    assert segment.row_count == 12


def test_a_table_that_cannot_be_compacted_does_not_stop_the_others(
    lake: Lake, frame: Callable[[str], DataFrame], spark: SparkSession
) -> None:
    lake.write("images", frame(DAYS[0]), DAYS[:1])
    Path(DeltaTable(lake.folder("images")).file_uris()[0]).write_bytes(b"not Parquet")
    (problem,) = compact_lake(lake)
    assert "images" in problem
    assert len(lake.read(spark, "predictions", DAYS).files) == 3
    result = housekeeping.execute_in_process(
        resources={"lake": lake, "settings": Settings(), "questions": ()}, raise_on_error=False
    )
    assert not result.success


def test_a_short_log_keeps_rows_and_the_versions_of_all_days(
    lake: Lake, spark: SparkSession, frame: Callable[[str], DataFrame]
) -> None:
    expected, log = rows(lake, spark), Path(lake.folder("predictions"), LOG)
    then = time.time() - 31 * 86_400
    for file in log.glob("*.json"):
        os.utime(file, (then, then))
    shorten_logs(lake)
    left = sorted(file.name for file in log.iterdir())
    assert len([name for name in left if name.endswith(".json")]) < 7
    assert "_last_checkpoint" in left
    assert rows(lake, spark) == expected
    delta = DeltaTable(lake.folder("predictions"))
    assert [version_of(delta, day) for day in DAYS] == [2, 2, 2]
    lake.write("predictions", frame(DAYS[0]), [DAYS[0]])
    assert rows(lake, spark) == expected


def test_sizes_count_files_in_use_replaced_files_and_those_of_the_log(lake: Lake) -> None:
    Path(lake.root, "models").mkdir()
    Path(lake.root, "models", "classifier.json").write_text("{}")
    sizes = measure_lake(lake)
    log = Path(lake.folder("predictions"), LOG)
    files = [file for file in Path(lake.folder("predictions")).rglob("*") if file.is_file()]
    used = len(DeltaTable(lake.folder("predictions")).file_uris())
    total = sum(file.stat().st_size for file in files)
    assert sizes == {
        "models": Size(1, 1, 0, 2),
        "predictions": Size(used, len(files), len(list(log.iterdir())), total),
    }
    assert used < len(files)
    assert measure_lake(Lake(root=f"{lake.root}/nowhere")) == {}


def test_tables_of_a_further_classifier_are_maintained_and_named_once_its_yaml_is_gone(
    lake: Lake, frame: Callable[[str], DataFrame], spark: SparkSession
) -> None:
    other = Lake(root=lake.root, prefix="damage")
    for _ in range(3):
        other.write("predictions", frame(DAYS[0]), DAYS[:1], is_added=True)
    assert lake.list_tables() == ["damage/predictions", "predictions"]
    for questions, is_named in (("damage",), False), ((), True):
        resources = {"lake": lake, "settings": Settings(), "questions": questions}
        result = housekeeping.execute_in_process(resources=resources)
        (event,) = result.filter_events(lambda each: each.is_successful_output and each.step_key == "maintain_tables")
        left = event.step_output_data.metadata.get("left_behind")
        assert (left is not None) == is_named
        assert not left or f"{lake.root}/damage" in left.value
        assert len(other.read(spark, "predictions", DAYS[:1]).files) == 1


def test_the_page_shows_sizes_before_and_after(lake: Lake) -> None:
    used = len(DeltaTable(lake.folder("predictions")).file_uris())
    result = housekeeping.execute_in_process(resources={"lake": lake, "settings": Settings(), "questions": ()})
    (metadata,) = [
        event.step_output_data.metadata
        for event in result.all_events
        if event.is_successful_output and event.step_key == "maintain_tables"
    ]
    assert isinstance(metadata["sizes"], dg.MarkdownMetadataValue)
    assert f"| predictions | {used} | 3 |" in str(metadata["sizes"].value)
    assert metadata["removed_files"].value == 0, "readers may need them for a week"


def test_a_folder_that_is_new_or_gone_is_described() -> None:
    text = describe_sizes({"gone": Size(1, 2, 3, 4_000_000)}, {"new": Size(5, 6, 7, 1_234_500_000)})
    assert "| gone | 1 | 0 | 2 | 0 | 3 | 0 | 4.0 | 0.0 |" in text
    assert "| new | 0 | 5 | 0 | 6 | 0 | 7 | 0.0 | 1,234.5 |" in text
