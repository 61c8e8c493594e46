"""Orphaned files are removed once no reader can need them, and nothing else is ever removed."""

import os
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from assets.housekeeping import housekeeping
from pipeline.networks.export import export_backbone
from pipeline.networks.pretrained import Pretrained
from resources.lake.lake import Lake
from resources.lake.model_files import draft_name
from resources.lake.orphans import ORPHAN_HOURS, remove_orphans
from resources.settings import Settings

DAY = "2026-11-20"


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Lake:
    """A lake with a day that was written twice."""
    lake = Lake(root=str(tmp_path / "lake"))
    for image in ("old", "new"):
        lake.write("images", spark.sql(f"select date '{DAY}' as day, '{image}' as image_id"), [DAY])
    return lake


def age(*paths: Path) -> None:
    then = time.time() - (ORPHAN_HOURS + 1) * 3600
    for path in paths:
        os.utime(path, (then, then))


def test_an_orphaned_file_of_a_killed_run_is_removed_when_it_is_old(lake: Lake) -> None:
    folder = Path(lake.folder("images")) / f"day={DAY}" / "killed"
    folder.mkdir()
    old, young = folder / "old.parquet", folder / "young.parquet"
    for orphan in (old, young):
        orphan.write_bytes(b"half a file")
    age(old)
    assert remove_orphans(lake) == {"images": 1, "models": 0}
    assert not old.exists()
    assert young.exists(), "its run may be under way"


def test_removing_orphans_does_not_change_a_table(lake: Lake, spark: SparkSession) -> None:
    age(*Path(lake.folder("images")).rglob("*.parquet"))
    remove_orphans(lake)
    assert [row["image_id"] for row in lake.read(spark, "images", [DAY]).frame.collect()] == ["new"]


def test_a_draft_that_was_never_renamed_is_removed(lake: Lake) -> None:
    folder = lake.models.folder / "classifier"
    kept, file, model = folder / "version", folder / draft_name("note.json"), folder / draft_name("version")
    kept.mkdir(parents=True)
    model.mkdir()
    for path in (file, model / "part", kept / ".part.crc", kept / "part"):
        path.write_text("{}")
    age(*folder.rglob("*"))
    assert remove_orphans(lake)["models"] == 2
    assert sorted(path.name for path in folder.rglob("*")) == [".part.crc", "part", "version"]


def test_a_backbone_that_was_never_renamed_is_removed(lake: Lake, tiny_pretrained: Pretrained, tmp_path: Path) -> None:
    name, folder = export_backbone(tiny_pretrained, tmp_path).name, lake.models.folder / "backbone"
    (folder / name).mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        export_backbone(tiny_pretrained, folder)
    age(*folder.iterdir())
    assert remove_orphans(lake)["models"] == 1
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_draft_of_a_backbone_of_commit_41041cd_is_removed(lake: Lake) -> None:
    folder = lake.models.folder / "backbone"
    folder.mkdir(parents=True)
    old, young, graph = (folder / f"{'ab' * 32}.{suffix}" for suffix in ("12.part", "34.part", "onnx"))
    for path in (old, young, graph):
        path.write_bytes(b"a graph")
    age(old, graph)
    assert remove_orphans(lake)["models"] == 1
    assert sorted(folder.iterdir()) == [young, graph]


def test_the_job_reports_the_removed_files(lake: Lake) -> None:
    age(*Path(lake.folder("images")).rglob("*.parquet"))
    orphan = Path(lake.folder("images")) / "orphan.parquet"
    orphan.write_bytes(b"half a file")
    age(orphan)
    result = housekeeping.execute_in_process(resources={"lake": lake, "settings": Settings(), "questions": ()})
    outputs = {event.step_key: event for event in result.all_events if event.is_successful_output}
    metadata = outputs["maintain_tables"].step_output_data.metadata
    assert metadata["removed_files"].value == 1


def test_a_missing_lake_has_no_orphans(tmp_path: Path) -> None:
    assert remove_orphans(Lake(root=str(tmp_path / "nowhere"))) == {"models": 0}
