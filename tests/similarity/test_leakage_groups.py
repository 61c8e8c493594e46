"""Leakage groups: never split across train and holdout, stable as images arrive; conflicts are excluded."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from conftest import MakePhoto, StoreRows, make_tiny_deployment
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from paintings import paint, save
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from assets.definitions import build_definitions
from pipeline.images.split import HOLDOUT, TRAIN, split_by_digest
from pipeline.similarity.leakage_groups import describe_groups, group_images, split_groups
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.params import ClassifierParams
from resources.lake.commits import WHOLE_TABLE
from resources.lake.lake import Lake
from resources.settings import Settings

IMAGES = "image_id string, split string, split_said string, group string"
TRAIN_PREFIX, HOLDOUT_PREFIX = "ff", "00"
"""Digest prefixes that fall into the train split and the holdout."""


def name(start: str, number: int = 0) -> str:
    return f"{start}{number:062x}"


def split(
    spark: SparkSession,
    images: dict[str, tuple[str | None, str | None]],
    pairs: list[tuple[str, str]],
    former: dict[str, str | None] | None = None,
) -> dict[str, str | None]:
    """Returns the split of each image; `images` gives its user-defined split and group."""
    rows = [
        (image_id, given or (HOLDOUT if image_id[:2] == HOLDOUT_PREFIX else TRAIN), given, group)
        for image_id, (given, group) in images.items()
    ]
    frame = spark.createDataFrame(rows, IMAGES)
    members = group_images(spark.createDataFrame(pairs, "image_id string, near_duplicate_id string"), frame)
    before = None if former is None else spark.createDataFrame(list(former.items()), "image_id string, split string")
    found = split_groups(frame, members, before).collect()
    assert len(found) == len(images)
    return {row["image_id"]: row["split"] for row in found}


A, B, C, D = name(HOLDOUT_PREFIX, 1), name(TRAIN_PREFIX, 2), name(TRAIN_PREFIX, 3), name(HOLDOUT_PREFIX, 4)
ALONE = (None, None)


def test_a_single_image_is_split_by_its_digest(spark: SparkSession) -> None:
    assert split(spark, {A: ALONE, B: ALONE}, []) == {A: HOLDOUT, B: TRAIN}


def test_a_new_group_is_split_by_its_smallest_digest(spark: SparkSession) -> None:
    assert split(spark, {A: ALONE, B: ALONE, C: ALONE}, [(A, B), (B, C)]) == dict.fromkeys((A, B, C), HOLDOUT)


def test_a_user_defined_group_is_split_by_its_name_whatever_its_members(spark: SparkSession) -> None:
    expected = {
        row["name"]: row["split"]
        for row in spark.createDataFrame([(f"shop {n}",) for n in range(20)], "name string")
        .withColumn("split", split_by_digest(F.sha2("name", 256)))
        .collect()
    }
    assert set(expected.values()) == {TRAIN, HOLDOUT}
    images = {name(start, n): (None, f"shop {n}") for n in range(20) for start in (HOLDOUT_PREFIX, TRAIN_PREFIX)}
    assert split(spark, images, []) == {image_id: expected[group] for image_id, (_, group) in images.items()}


def test_the_split_is_stable_when_near_duplicates_arrive(spark: SparkSession) -> None:
    before = split(spark, {B: ALONE, D: ALONE}, [])
    assert before == {B: TRAIN, D: HOLDOUT}
    smaller = name(HOLDOUT_PREFIX, 0)  # as the smallest digest it would choose the holdout
    assert split(spark, {B: ALONE, D: ALONE, smaller: ALONE}, [(smaller, B)], before) == before | {smaller: TRAIN}


def test_groups_bridged_by_a_new_image_keep_their_holdout_and_exclude_the_rest(spark: SparkSession) -> None:
    before = split(spark, {A: ALONE, B: ALONE}, [])
    images, pairs = {A: ALONE, B: ALONE, C: ALONE}, [(A, C), (B, C)]
    bridged = split(spark, images, pairs, before)
    assert bridged == {A: HOLDOUT, B: None, C: None}
    assert split(spark, images, pairs, bridged) == bridged, "the next training changes nothing"
    assert split(spark, {A: ALONE, B: ALONE}, [], bridged) == {A: HOLDOUT, B: TRAIN}, "the bridge is gone"


def test_near_duplicates_in_train_and_holdout_folders_are_excluded_from_training(spark: SparkSession) -> None:
    images = {A: (TRAIN, None), B: (HOLDOUT, None), C: ALONE}
    assert split(spark, images, [(A, B), (B, C)]) == {A: None, B: HOLDOUT, C: None}
    assert split(spark, images, [(A, B)], {A: HOLDOUT, B: TRAIN, C: TRAIN}) == {A: None, B: HOLDOUT, C: TRAIN}


def test_an_image_in_two_user_defined_groups_merges_them(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN, None, "x"), (A, TRAIN, None, "y"), (B, TRAIN, None, "y")], IMAGES)
    members = group_images(spark.createDataFrame([], "image_id string, near_duplicate_id string"), images)
    assert sorted(map(tuple, members.collect())) == [(A, A, "x"), (B, A, "x")]


def test_a_group_name_that_equals_an_image_id_remains_a_name(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN, None, B), (C, TRAIN, None, B), (B, TRAIN, None, None)], IMAGES)
    members = group_images(spark.createDataFrame([], "image_id string, near_duplicate_id string"), images)
    assert {row["image_id"] for row in members.collect()} == {A, C}


def test_a_table_of_a_former_version_keeps_its_split(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN), (B, HOLDOUT), (C, TRAIN)], "image_id string, split string")
    members = group_images(spark.createDataFrame([(B, C)], "image_id string, near_duplicate_id string"), images)
    splits = {row["image_id"]: row["split"] for row in split_groups(images, members, None).collect()}
    assert splits == {A: TRAIN, B: HOLDOUT, C: None}


def test_an_excluded_image_is_used_neither_for_training_nor_for_evaluation(spark: SparkSession) -> None:
    rows = [
        (name("00", n), label, split, [float(label == "a"), float(n % 3), 1.0], "b")
        for n, (label, split) in enumerate([(label, split) for split in (TRAIN, HOLDOUT) for label in "ab"] * 5)
    ]
    schema = "image_id string, label string, split string, features array<float>, backbone string"
    excluded = [(name("ff", n), "c", None, [9.0, 9.0, 9.0], "b") for n in range(3)]
    fitted = fit_classifier(spark.createDataFrame(rows + excluded, schema), ClassifierParams(params={"maxIter": 2}))
    assert fitted.labels == ["a", "b"]
    assert (fitted.report["train_count"], fitted.report["holdout_count"]) == (10, 10)


def test_the_report_counts_groups_and_shows_the_largest(
    spark: SparkSession, make_photo: MakePhoto, store_rows: StoreRows
) -> None:
    schema = "image_id string, group string, label string, split string, split_alone string, content binary"
    rows = [
        (A, A, "x|y", HOLDOUT, HOLDOUT, make_photo()),
        (B, A, "x|y", HOLDOUT, TRAIN, make_photo()),
        (C, A, None, None, TRAIN, b"broken"),
        (D, D, "z", HOLDOUT, HOLDOUT, make_photo()),
    ]
    features = spark.createDataFrame(rows, schema)
    describe = describe_groups(store_rows(features))
    report = describe(features)
    assert report.numbers == {"group_count": 1, "grouped_count": 3, "moved_count": 1, "left_out_count": 1}
    assert report.tables["largest_groups"].splitlines()[2] == f"| {A[:12]} | 3 | 0 | 2 | x_y |"
    assert report.images["groups"].startswith(b"\xff\xd8")
    alone = describe(features.where(F.col("group") == D))
    assert alone.numbers["group_count"] == 0
    assert not alone.images


# The asset graph


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for label, seeds in {"cat": range(12), "dog": range(20, 32)}.items():
        (tmp_path / "training" / label).mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "training" / label / f"{seed}.jpg").write_bytes(save(paint(seed)))
    return make_tiny_deployment(tmp_path).replace(training=str(tmp_path / "training"), fit="letterbox")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def materialize(settings: Settings, instance: dg.DagsterInstance, **config: bool) -> dict[str, dict]:
    """Materializes the split and its inputs; returns the rows of `training_split` by path."""
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        run_config={"ops": {"training_split": {"config": config}}},
        instance=instance,
        asset_selection=[
            dg.AssetKey(name)
            for name in ("training_images", "backbone", "training_features", "near_duplicates", "training_split")
        ],
        raise_on_error=False,
    )
    assert not [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    columns = ["image_id", "split", "split_alone", "group"]
    rows = DeltaTable(f"{settings.lake}/training_split").to_pyarrow_table(columns=columns).to_pylist()
    paths = DeltaTable(f"{settings.lake}/training_images").to_pyarrow_table(columns=["image_id", "path"]).to_pylist()
    by_id = {row["image_id"]: row for row in rows}
    return {row["path"]: by_id[row["image_id"]] for row in paths}


@pytest.mark.slow
def test_groups_stay_within_one_split_and_a_growing_folder_moves_no_image(
    spark: SparkSession, settings: Settings, instance: dg.DagsterInstance
) -> None:
    folder = Path(settings.training)
    before = materialize(settings, instance)
    assert all(row["group"] == row["image_id"] and row["split"] == row["split_alone"] for row in before.values())
    assert {row["split"] for row in before.values()} == {TRAIN, HOLDOUT}
    for path in list(before):
        with Image.open(folder / path) as image:
            (folder / path).with_suffix(".small.jpg").write_bytes(save(image.resize((110, 90)), 60))
    after = materialize(settings, instance)
    assert len(after) == 2 * len(before)
    for path, row in before.items():
        duplicate = after[path.replace(".jpg", ".small.jpg")]
        assert after[path]["split"] == duplicate["split"] == row["split"]
        assert after[path]["group"] == duplicate["group"]
    lines = [f"{path},{path[:3]},{path[:3]}\n" for path in after]
    (folder / "manifest.csv").write_text("path,label,group\n" + "".join(lines))
    conflicting = materialize(settings, instance)
    assert all(
        row["split"] == (HOLDOUT if after[path]["split"] == HOLDOUT else None) for path, row in conflicting.items()
    )
    resplit = materialize(settings, instance, split_anew=True)
    assert len({row["group"] for row in resplit.values()}) == 2
    assert all(
        len({row["split"] for path, row in resplit.items() if path.startswith(label)}) == 1 for label in ("cat", "dog")
    )


def test_a_lake_of_the_former_version_gains_the_new_columns_and_keeps_its_split(
    spark: SparkSession, settings: Settings, instance: dg.DagsterInstance
) -> None:
    new = materialize(settings, instance)
    lake = Lake(root=settings.lake)
    flipped = F.when(F.col("split") == TRAIN, HOLDOUT).otherwise(TRAIN)
    former = {
        table: lake.read(spark, table, None).frame
        for table in ("training_images", "training_features", "training_split")
    }
    former["training_images"] = former["training_images"].drop("split_said", "group")
    split = former.pop("training_split").drop("split_alone", "group")
    former["training_features"] = former["training_features"].join(split, "image_id")
    tables = {table: frame.withColumn("split", flipped).toArrow() for table, frame in former.items()}
    for table in ("near_duplicates", "training_split", *tables):
        shutil.rmtree(lake.folder(table))
    written = CommitProperties(app_transactions=[Transaction(WHOLE_TABLE, 1)])
    for table, rows in tables.items():
        write_deltalake(lake.folder(table), rows, commit_properties=written)
    again = materialize(settings, instance)
    assert {path: row["split"] for path, row in again.items()} == {
        path: HOLDOUT if row["split"] == TRAIN else TRAIN for path, row in new.items()
    }
    assert {path: row["split_alone"] for path, row in again.items()} == {p: r["split_alone"] for p, r in new.items()}
