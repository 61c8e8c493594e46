"""Retention: old image bytes and old runs are deleted, but nothing that a page or a table shows."""

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from conftest import MakePhoto
from PIL import Image
from pyspark.sql import SparkSession

from assets.housekeeping import days_ago, housekeeping
from pipeline.embed.backbone import Backbone
from pipeline.images.image_files import read_days
from resources.instance.run_history import delete_runs
from resources.lake.commits import LakeError
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.lake.purge import list_purged, purge_days
from resources.settings import Settings

OLD, NEW = "2026-11-01", "2026-11-20"


@pytest.fixture
def landing(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """Two days of three images and one empty file."""
    for day in (OLD, NEW):
        folder = tmp_path / day
        folder.mkdir()
        for seed in range(3):
            (folder / f"{seed}.jpg").write_bytes(make_photo("red", seed + 10 * (day == NEW)))
        (folder / "empty.jpg").write_bytes(b"")
    return tmp_path


@pytest.fixture
def lake(tmp_path: Path, landing: Path, spark: SparkSession) -> Lake:
    """A lake with both days."""
    lake = Lake(root=str(tmp_path / "lake"))
    read(lake, landing, spark, OLD, NEW)
    return lake


def read(lake: Lake, landing: Path, spark: SparkSession, *days: str) -> None:
    folders = {datetime.fromisoformat(day).date(): str(landing / day) for day in days}
    lake.write("images", read_days(lambda: spark, folders), days)


def rows(lake: Lake, spark: SparkSession, day: str) -> list[dict]:
    return sorted(
        (row.asDict() for row in lake.read(spark, "images", [day]).frame.collect()), key=lambda row: row["path"]
    )


def test_a_purged_day_loses_its_bytes_and_keeps_its_rows(lake: Lake, spark: SparkSession) -> None:
    before, new = rows(lake, spark, OLD), rows(lake, spark, NEW)
    assert purge_days(lake, NEW) == [OLD]
    assert rows(lake, spark, OLD) == [row | {"content": None} for row in before]
    assert rows(lake, spark, NEW) == new
    assert purge_days(lake, NEW) == [], "once is enough"


def test_files_with_purged_bytes_are_orphans(lake: Lake, spark: SparkSession) -> None:
    purge_days(lake, NEW)
    stored = {file.path for file in lake.read(spark, "images", [OLD]).files}
    assert sum(pq.read_metadata(f"{lake.folder('images')}/{path}").num_rows for path in stored) == 4
    lying = {str(path.relative_to(lake.folder("images"))) for path in Path(lake.folder("images")).rglob("*.parquet")}
    assert stored < lying


def test_a_reviewed_image_keeps_its_bytes(lake: Lake, spark: SparkSession) -> None:
    before = rows(lake, spark, OLD)
    reviewed = before[1]["image_id"]
    lake.write("reviews", spark.sql(f"select '{reviewed}' as image_id, 'red' as label"), None)
    purge_days(lake, NEW)
    assert [row["content"] for row in rows(lake, spark, OLD)] == [
        row["content"] if row["image_id"] == reviewed else None for row in before
    ]


def test_a_purged_day_that_is_read_again_has_its_bytes(lake: Lake, landing: Path, spark: SparkSession) -> None:
    before = rows(lake, spark, OLD)
    purge_days(lake, NEW)
    assert list_purged(lake, [OLD, NEW]) == [OLD]
    read(lake, landing, spark, OLD)
    assert rows(lake, spark, OLD) == before
    assert list_purged(lake, [OLD, NEW]) == []
    assert purge_days(lake, NEW) == [OLD], "it is old again"


def test_a_purged_day_is_served_from_the_cache_and_fails_if_bytes_are_needed(
    lake: Lake, spark: SparkSession, tiny_backbone: Backbone
) -> None:
    cache = FeatureCache(lake=lake, settings=Settings(max_pixels=10**8))
    kept = cache.embed(lake.read(spark, "images", [NEW]), tiny_backbone).rows.frame.count()
    purge_days(lake, "2026-11-21")
    again = cache.embed(lake.read(spark, "images", [NEW]), tiny_backbone)
    assert (again.rows.frame.count(), again.miss_count) == (kept, 0)
    with pytest.raises(LakeError, match=f"{OLD}.*DAYLIGHT_KEEP_IMAGES_DAYS.*materialize images"):
        cache.embed(lake.read(spark, "images", [OLD]), tiny_backbone)


def test_purging_and_maintenance_need_no_spark_session(lake: Lake, spark: SparkSession) -> None:
    script = (
        "import sys; from resources.lake.lake import Lake; from resources.lake.maintenance import compact_lake;"
        " from resources.lake.purge import purge_days;"
        " lake = Lake(root=sys.argv[1]); print(purge_days(lake, sys.argv[2]), compact_lake(lake))"
    )
    done = subprocess.run([sys.executable, "-c", script, lake.root, NEW], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"['{OLD}'] []\n", 0), done.stderr
    assert [row["content"] for row in rows(lake, spark, OLD)] == [None] * 4


def test_a_lake_without_images_has_nothing_to_purge(tmp_path: Path) -> None:
    assert purge_days(Lake(root=str(tmp_path / "nowhere")), NEW) == []


days = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-10")


@dg.asset
def whole() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"note": "something"})


@dg.asset(partitions_def=days)
def by_day() -> None: ...


@dg.asset_check(asset=whole, blocking=True)
def never() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="refused")


def run(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, day: str | None = None) -> str:
    result = dg.materialize(assets, instance=instance, partition_key=day, raise_on_error=False)
    manager = instance.compute_log_manager
    image = Path(manager.get_captured_local_path([result.run_id, "page", "image"], "jpg"))
    image.parent.mkdir(parents=True)
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "JPEG")
    image.write_bytes(file.getvalue())
    return result.run_id


def later() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_old_runs_are_deleted_except_the_latest_of_each_asset_and_day(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        replaced = [run(instance, whole), run(instance, by_day, day="2026-11-02")]
        kept = [run(instance, whole), run(instance, by_day, day="2026-11-02"), run(instance, by_day, day="2026-11-03")]
        replaced.append(run_without_asset(instance))
        assert delete_runs(instance, later()) == len(replaced)
        assert {record.dagster_run.run_id for record in instance.get_run_records()} == set(kept)
        assert instance.get_materialized_partitions(by_day.key) == {"2026-11-02", "2026-11-03"}
        last = instance.get_latest_materialization_event(whole.key)
        assert last is not None
        assert last.run_id == kept[0]
        for run_id in replaced:
            assert not list(tmp_path.rglob(f"*{run_id}*")), "neither events nor logs nor images"
        for run_id in kept:
            assert list(tmp_path.rglob(f"*{run_id}*/page/image.jpg"))


def run_without_asset(instance: dg.DagsterInstance) -> str:
    @dg.job
    def nothing() -> None: ...

    return nothing.execute_in_process(instance=instance).run_id


def test_young_runs_stay(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        run(instance, whole)
        run(instance, whole)
        assert delete_runs(instance, datetime.now(UTC) - timedelta(days=1)) == 0


def test_the_result_of_a_check_survives_the_deletion_of_other_runs(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        dg.materialize([whole], instance=instance)
        checked = dg.Definitions([whole], asset_checks=[never])
        job = checked.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        run(instance, whole)
        assert delete_runs(instance, later()) == 2
        record = instance.get_latest_asset_check_evaluation_record(next(iter(never.check_keys)))
        assert record is not None
        assert (record.run_id, record.event.dagster_event.event_specific_data.description) == (
            result.run_id,
            "refused",
        )


def test_nothing_is_removed_by_default(lake: Lake, tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = housekeeping.execute_in_process(
            resources={"lake": lake, "settings": Settings(), "questions": ()}, instance=instance
        )
    assert metadata_of(result)["purge_old_images"] == {"count": 0, "days": ""}
    assert metadata_of(result)["delete_old_runs"] == {"runs": 0}
    assert list_purged(lake, [OLD, NEW]) == []


def test_days_are_counted_back_from_today() -> None:
    assert days_ago(7).date() == datetime.now(UTC).date() - timedelta(days=7)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict]:
    return {
        event.step_key: {name: value.value for name, value in event.step_output_data.metadata.items()}
        for event in result.all_events
        if event.is_successful_output
    }


def test_housekeeping_reports_what_it_removed(lake: Lake, tmp_path: Path) -> None:
    long_ago = (datetime.now(UTC).date() - datetime.fromisoformat(NEW).date()).days
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = housekeeping.execute_in_process(
            resources={
                "lake": lake,
                "settings": Settings(keep_runs_days=1, keep_images_days=max(1, long_ago)),
                "questions": (),
            },
            instance=instance,
        )
    reported = metadata_of(result)
    assert reported["purge_old_images"] == {"count": 1, "days": OLD}
    assert reported["delete_old_runs"] == {"runs": 0}
