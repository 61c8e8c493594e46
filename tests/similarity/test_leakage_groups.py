"""Groups: never on both sides; the split stays put when pictures come; what was torn is left out, never held out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import onnx
import pytest
from conftest import MakePhoto, make_tiny_graph
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from paintings import paint, save
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from assets.definitions import build_definitions
from pipeline.images.split import HOLDOUT, TRAIN, split_by_digest
from pipeline.similarity.leakage_groups import describe_groups, group_images, split_groups
from pipeline.training.classifier import ClassifierParams, fit_classifier
from resources.lake.commits import WHOLE_TABLE
from resources.lake.lake import Lake
from resources.settings import Settings, read_settings

IMAGES = "image_id string, split string, split_said string, group string"
TRAINED, HELD = "ff", "00"
"""How digests begin that draw the train side, and the holdout."""


def name(start: str, number: int = 0) -> str:
    return f"{start}{number:062x}"


def split(
    spark: SparkSession,
    pictures: dict[str, tuple[str | None, str | None]],
    pairs: list[tuple[str, str]],
    former: dict[str, str | None] | None = None,
) -> dict[str, str | None]:
    """Sides by picture; pictures are given with the side that is said and the name of their group."""
    rows = [
        (image_id, said or (HOLDOUT if image_id[:2] == HELD else TRAIN), said, group)
        for image_id, (said, group) in pictures.items()
    ]
    images = spark.createDataFrame(rows, IMAGES)
    members = group_images(spark.createDataFrame(pairs, "image_id string, near_duplicate_id string"), images)
    before = None if former is None else spark.createDataFrame(list(former.items()), "image_id string, split string")
    found = split_groups(images, members, before).collect()
    assert len(found) == len(pictures)
    return {row["image_id"]: row["split"] for row in found}


A, B, C, D = name(HELD, 1), name(TRAINED, 2), name(TRAINED, 3), name(HELD, 4)
ALONE = (None, None)


def test_a_picture_alone_is_on_the_side_of_its_digest(spark: SparkSession) -> None:
    assert split(spark, {A: ALONE, B: ALONE}, []) == {A: HOLDOUT, B: TRAIN}


def test_a_new_group_is_on_the_side_that_its_smallest_digest_draws(spark: SparkSession) -> None:
    assert split(spark, {A: ALONE, B: ALONE, C: ALONE}, [(A, B), (B, C)]) == dict.fromkeys((A, B, C), HOLDOUT)


def test_a_group_by_hand_is_on_the_side_that_its_name_draws_whoever_is_in_it(spark: SparkSession) -> None:
    drawn = {
        row["name"]: row["side"]
        for row in spark.createDataFrame([(f"shop {n}",) for n in range(20)], "name string")
        .withColumn("side", split_by_digest(F.sha2("name", 256)))
        .collect()
    }
    assert set(drawn.values()) == {TRAIN, HOLDOUT}
    pictures = {name(start, n): (None, f"shop {n}") for n in range(20) for start in (HELD, TRAINED)}
    assert split(spark, pictures, []) == {image_id: drawn[group] for image_id, (_, group) in pictures.items()}


def test_the_split_stays_put_when_twins_come(spark: SparkSession) -> None:
    before = split(spark, {B: ALONE, D: ALONE}, [])
    assert before == {B: TRAIN, D: HOLDOUT}
    smaller = name(HELD, 0)  # would draw the holdout for its group
    assert split(spark, {B: ALONE, D: ALONE, smaller: ALONE}, [(smaller, B)], before) == before | {smaller: TRAIN}


def test_a_group_that_a_new_picture_bridges_keeps_its_holdout_and_leaves_the_others_out(spark: SparkSession) -> None:
    before = split(spark, {A: ALONE, B: ALONE}, [])
    pictures, pairs = {A: ALONE, B: ALONE, C: ALONE}, [(A, C), (B, C)]
    torn = split(spark, pictures, pairs, before)
    assert torn == {A: HOLDOUT, B: None, C: None}
    assert split(spark, pictures, pairs, torn) == torn, "the next training changes nothing"
    assert split(spark, {A: ALONE, B: ALONE}, [], torn) == {A: HOLDOUT, B: TRAIN}, "once the bridge is gone"


def test_twins_in_the_folders_of_both_sides_are_left_out_of_training(spark: SparkSession) -> None:
    pictures = {A: (TRAIN, None), B: (HOLDOUT, None), C: ALONE}
    assert split(spark, pictures, [(A, B), (B, C)]) == {A: None, B: HOLDOUT, C: None}
    assert split(spark, pictures, [(A, B)], {A: HOLDOUT, B: TRAIN, C: TRAIN}) == {A: None, B: HOLDOUT, C: TRAIN}


def test_a_picture_in_two_groups_by_hand_joins_them(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN, None, "x"), (A, TRAIN, None, "y"), (B, TRAIN, None, "y")], IMAGES)
    members = group_images(spark.createDataFrame([], "image_id string, near_duplicate_id string"), images)
    assert sorted(map(tuple, members.collect())) == [(A, A, "x"), (B, A, "x")]


def test_a_name_that_looks_like_a_picture_is_a_name(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN, None, B), (C, TRAIN, None, B), (B, TRAIN, None, None)], IMAGES)
    members = group_images(spark.createDataFrame([], "image_id string, near_duplicate_id string"), images)
    assert {row["image_id"] for row in members.collect()} == {A, C}


def test_a_table_of_a_former_version_keeps_every_side(spark: SparkSession) -> None:
    images = spark.createDataFrame([(A, TRAIN), (B, HOLDOUT), (C, TRAIN)], "image_id string, split string")
    members = group_images(spark.createDataFrame([(B, C)], "image_id string, near_duplicate_id string"), images)
    sides = {row["image_id"]: row["split"] for row in split_groups(images, members, None).collect()}
    assert sides == {A: TRAIN, B: HOLDOUT, C: None}


def test_a_picture_that_is_left_out_is_neither_learned_from_nor_judged_on(spark: SparkSession) -> None:
    rows = [
        (name("00", n), label, side, [float(label == "a"), float(n % 3), 1.0], "b")
        for n, (label, side) in enumerate([(label, side) for side in (TRAIN, HOLDOUT) for label in "ab"] * 5)
    ]
    schema = "image_id string, label string, split string, features array<float>, backbone string"
    left_out = [(name("ff", n), "c", None, [9.0, 9.0, 9.0], "b") for n in range(3)]
    fitted = fit_classifier(spark.createDataFrame(rows + left_out, schema), ClassifierParams(params={"maxIter": 2}))
    assert fitted.labels == ["a", "b"]
    assert (fitted.report["train_count"], fitted.report["holdout_count"]) == (10, 10)


def test_the_page_counts_groups_and_shows_the_largest(spark: SparkSession, make_photo: MakePhoto) -> None:
    schema = "image_id string, group string, label string, split string, split_alone string, content binary"
    rows = [
        (A, A, "x|y", HOLDOUT, HOLDOUT, make_photo()),
        (B, A, "x|y", HOLDOUT, TRAIN, make_photo()),
        (C, A, None, None, TRAIN, b"broken"),
        (D, D, "z", HOLDOUT, HOLDOUT, make_photo()),
    ]
    features = spark.createDataFrame(rows, schema)
    report = describe_groups(features)(features)
    assert report.numbers == {"group_count": 1, "grouped_count": 3, "moved_count": 1, "left_out_count": 1}
    assert report.tables["largest_groups"].splitlines()[2] == f"| {A[:12]} | 3 | 0 | 2 | x_y |"
    assert report.images["groups"].startswith(b"\xff\xd8")
    alone = describe_groups(features)(features.where(F.col("group") == D))
    assert alone.numbers["group_count"] == 0
    assert not alone.images


# The graph


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    onnx.save(make_tiny_graph(), tmp_path / "tiny.onnx")
    for label, seeds in {"cat": range(12), "dog": range(20, 32)}.items():
        (tmp_path / "training" / label).mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "training" / label / f"{seed}.jpg").write_bytes(save(paint(seed)))
    return read_settings().replace(
        training=str(tmp_path / "training"),
        lake=str(tmp_path / "lake"),
        backbone=str(tmp_path / "tiny.onnx"),
        pixel_scaling="unit",
        precision="fp32",
    )


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


def materialize(settings: Settings, instance: dg.DagsterInstance, **config: bool) -> dict[str, dict]:
    """Reads the labelled pictures, finds twins and splits; gives the rows of `training_split` by path."""
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


def test_twins_and_hand_groups_lie_on_one_side_and_a_growing_folder_moves_nothing(
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
        twin = after[path.replace(".jpg", ".small.jpg")]
        assert after[path]["split"] == twin["split"] == row["split"]
        assert after[path]["group"] == twin["group"]
    lines = [f"{path},{path[:3]},{path[:3]}\n" for path in after]
    (folder / "manifest.csv").write_text("path,label,group\n" + "".join(lines))
    torn = materialize(settings, instance)
    assert all(row["split"] == (HOLDOUT if after[path]["split"] == HOLDOUT else None) for path, row in torn.items())
    anew = materialize(settings, instance, split_anew=True)
    assert len({row["group"] for row in anew.values()}) == 2
    assert all(
        len({row["split"] for path, row in anew.items() if path.startswith(label)}) == 1 for label in ("cat", "dog")
    )


def test_a_lake_of_the_former_version_gains_the_columns_and_keeps_its_sides(
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
