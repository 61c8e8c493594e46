"""Upgrades: a lake of commit 41041cd keeps its split and its classifier; concurrent runs upgrade it once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import MakePhoto
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deployment import DAY, NEXT_DAY, Deployment
from pyspark.sql import SparkSession

from resources.lake.commits import WHOLE_TABLE
from resources.lake.lake import Lake
from resources.lake.upgrade import upgrade_lake

SPLIT_COLUMNS = ["image_id", "label", "group", "split", "split_alone"]

OldLake = Callable[[Path], str]


def write_table(lake: Path | str, name: str, rows: pa.Table) -> None:
    """Writes a table like the lake, with its version in the log."""
    mark = CommitProperties(app_transactions=[Transaction(WHOLE_TABLE, 1)])
    write_deltalake(f"{lake}/{name}", rows, mode="overwrite", schema_mode="overwrite", commit_properties=mark)


def read_rows(lake: Path | str, name: str) -> list[dict]:
    return sorted(DeltaTable(f"{lake}/{name}").to_pyarrow_table().to_pylist(), key=str)


@pytest.fixture
def old_lake(tmp_path: Path) -> str:
    split = {"label": ["hat", None, "hat"], "group": ["a", "b", "a"], "split": ["train", "holdout", None]}
    features = {"image_id": ["a", "b", "c"], **split, "split_alone": ["train", "holdout", "train"], "width": [1, 2, 3]}
    write_table(tmp_path, "training_features", pa.table(features))
    pairs = {"image_id": ["a"], "twin_id": ["c"], "similarity": [0.9], "correlation": [0.95]}
    write_table(tmp_path, "training_twins", pa.table(pairs))
    return str(tmp_path)


def test_the_split_and_the_near_duplicates_move_to_separate_tables_once(old_lake: str, spark: SparkSession) -> None:
    assert upgrade_lake(old_lake) == ["near_duplicates", "training_split"]
    features = DeltaTable(f"{old_lake}/training_features").to_pyarrow_table(columns=SPLIT_COLUMNS)
    assert read_rows(old_lake, "training_split") == sorted(features.to_pylist(), key=str)
    (pair,) = read_rows(old_lake, "near_duplicates")
    assert pair == {"image_id": "a", "near_duplicate_id": "c", "similarity": 0.9, "correlation": 0.95}
    assert Lake(root=old_lake).read(spark, "training_split", None).frame.count() == 3
    assert upgrade_lake(old_lake) == []
    assert DeltaTable(f"{old_lake}/training_split").transaction_version(WHOLE_TABLE) == 1


def test_a_table_written_by_this_version_is_never_replaced(old_lake: str) -> None:
    write_table(old_lake, "training_split", pa.table({"image_id": ["new"]}))
    assert upgrade_lake(old_lake) == ["near_duplicates"]
    assert read_rows(old_lake, "training_split") == [{"image_id": "new"}]


def test_a_new_or_untrained_lake_needs_no_upgrade(tmp_path: Path) -> None:
    assert upgrade_lake(str(tmp_path / "none")) == []
    write_table(tmp_path, "training_features", pa.table({"image_id": ["a"], "width": [1]}))
    assert upgrade_lake(str(tmp_path)) == []


def test_an_empty_table_is_upgraded(tmp_path: Path, spark: SparkSession) -> None:
    pairs = pa.table({"image_id": ["a"], "twin_id": ["c"], "similarity": [0.9], "correlation": [0.95]})
    write_table(tmp_path, "training_twins", pairs.slice(1))
    assert upgrade_lake(str(tmp_path)) == ["near_duplicates"]
    assert Lake(root=str(tmp_path)).read(spark, "near_duplicates", None).frame.count() == 0


def test_concurrent_runs_upgrade_a_lake_once(old_lake: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = [table for tables in pool.map(upgrade_lake, [old_lake] * 8) for table in tables]
    assert sorted(written) == ["near_duplicates", "training_split"]
    assert [row["image_id"] for row in read_rows(old_lake, "training_split")] == ["a", "b", "c"]
    assert len(read_rows(old_lake, "near_duplicates")) == 1


def test_the_next_write_of_the_features_drops_the_split_columns(old_lake: str, spark: SparkSession) -> None:
    lake = Lake(root=old_lake)
    lake.write("training_features", spark.createDataFrame([("d", 4)], "image_id string, width long"), None)
    assert lake.read(spark, "training_features", None).frame.columns == ["image_id", "width"]
    assert read_rows(old_lake, "training_features") == [{"image_id": "d", "width": 4}]


@pytest.mark.slow
def test_an_old_lake_predicts_and_trains_and_no_image_changes_its_split(
    spark: SparkSession, tmp_path: Path, make_photo: MakePhoto
) -> None:
    deployment = Deployment(tmp_path)
    deployment.lay_out(make_photo, labelled=12)
    (deployment.folder(DAY) / "1.jpg").write_bytes(make_photo("red", 1000))
    (deployment.folder(NEXT_DAY) / "1.jpg").write_bytes(make_photo("blue", 1001))
    assert deployment.failures("training") is None
    lake = deployment.lake
    split, former = (
        DeltaTable(lake / table).to_pyarrow_table().sort_by("image_id")
        for table in ("training_split", "training_features")
    )
    flipped = split["split"].to_pylist()
    for former_side, side in (("train", "holdout"), ("holdout", "train")):
        for number in [place for place, each in enumerate(split["split"].to_pylist()) if each == former_side][:4]:
            flipped[number] = side
    for name in SPLIT_COLUMNS[1:]:
        former = former.append_column(name, pa.array(flipped) if name == "split" else split[name])
    write_table(lake, "training_features", former)
    pairs = DeltaTable(lake / "near_duplicates").to_pyarrow_table()
    write_table(lake, "training_twins", pairs.rename_columns({"near_duplicate_id": "twin_id"}))
    promoted = (lake / "models" / "classifier.json").read_text()
    for table in ("training_split", "near_duplicates"):
        (lake / table).rename(tmp_path / table)
    assert deployment.failures("daily", DAY) is None
    assert (lake / "models" / "classifier.json").read_text() == promoted
    assert deployment.failures("training") is None
    assert deployment.failures("daily", NEXT_DAY) is None
    found = {row["image_id"]: row["split"] for row in read_rows(lake, "training_split")}
    assert found == dict(zip(split["image_id"].to_pylist(), flipped, strict=True))
    assert not set(SPLIT_COLUMNS[1:]) & set(DeltaTable(lake / "training_features").to_pyarrow_table().column_names)
