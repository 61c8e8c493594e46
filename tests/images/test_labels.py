"""Labels: read from folders, a manifest or a pattern; images keep their split; contradictory labels are dropped."""

import re
from pathlib import Path

import pytest
from conftest import MakePhoto
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from sidecars import DS_STORE, THUMBS_DB, copy_from_a_mac

from pipeline.images.features import TRAINING_SCHEMA
from pipeline.images.labels import SCHEMA, describe_training_images, list_training_files, read_training_images
from pipeline.images.manifest import MANIFEST
from pipeline.images.places import LabelError
from pipeline.images.split import HOLDOUT, TRAIN, join_split, split_by_digest, split_images
from pipeline.images.split import SCHEMA as SPLIT_SCHEMA

LabelAndSplit = tuple[str, str | None]


def write(folder: Path, *names: str) -> None:
    """Writes files whose content is their name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def write_manifest(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode())


def label_and_split_by_path(folder: Path, pattern: str = "") -> dict[str, LabelAndSplit]:
    """Returns label and split by path; the split is None where the digest decides."""
    files = list_training_files(str(folder), pattern).labelled
    return {row["path"]: (row["label"], row["split"]) for row in files.to_pylist()}


def read(spark: SparkSession, folder: Path, pattern: str = "") -> list[Row]:
    return read_training_images(spark, list_training_files(str(folder), pattern)).collect()


# Folders


def test_the_label_is_the_first_folder_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/2025/summer/2.jpg", "two words/3.jpg", "001/4.jpg", "写真/5.jpg", ".odd/_6.jpg")
    assert label_and_split_by_path(tmp_path) == {
        "cat/1.jpg": ("cat", None),
        "cat/2025/summer/2.jpg": ("cat", None),
        "two words/3.jpg": ("two words", None),
        "001/4.jpg": ("001", None),
        "写真/5.jpg": ("写真", None),
        ".odd/_6.jpg": (".odd", None),
    }


def test_a_folder_above_the_label_sets_the_split(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.jpg", "validation/cat/2.jpg", "test/dog/deep/3.jpg", "holdout/dog/4.jpg")
    assert {row["path"]: (row["label"], row["split"]) for row in read(spark, tmp_path)} == {
        "train/cat/1.jpg": ("cat", TRAIN),
        "validation/cat/2.jpg": ("cat", HOLDOUT),
        "test/dog/deep/3.jpg": ("dog", HOLDOUT),
        "holdout/dog/4.jpg": ("dog", HOLDOUT),
    }


def test_a_stray_file_in_a_split_folder_has_no_label(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.jpg", "train/stray.jpg", "test/cat/2.jpg")
    assert sorted(label_and_split_by_path(tmp_path)) == ["test/cat/2.jpg", "train/cat/1.jpg"]
    assert list_training_files(str(tmp_path)).unlabelled == ["train/stray.jpg"]


def test_a_zip_from_a_mac_adds_no_label_and_no_image(
    spark: SparkSession, tmp_path: Path, make_photo: MakePhoto
) -> None:
    for folder in ("cat", "dog"):
        copy_from_a_mac(tmp_path / folder, {"1.jpg": make_photo("red", 1), "2.jpg": make_photo("red", 2)})
        copy_from_a_mac(tmp_path / "__MACOSX" / folder, {"1.jpg": make_photo("red", 3)})
    (tmp_path / "dog" / "._named so.jpg").write_bytes(make_photo("red", 4))
    (tmp_path / "dog" / "Thumbs.db").write_bytes(THUMBS_DB)
    (tmp_path / ".DS_Store").write_bytes(DS_STORE)
    files = list_training_files(str(tmp_path))
    training_images = read_training_images(spark, files)
    assert {(row["path"], row["label"], row["read_error"]) for row in training_images.collect()} == {
        *((f"{label}/{number}.jpg", label, None) for label in ("cat", "dog") for number in (1, 2)),
        ("dog/._named so.jpg", "dog", None),
    }
    numbers = describe_training_images(files)(training_images).numbers
    assert (numbers["label_count"], numbers["unlabelled_count"], numbers["sidecar_count"]) == (2, 0, 14)


@pytest.mark.parametrize("pattern", ["", "(?P<label>[a-zA-Z]+)/"])
def test_sidecar_folders_decide_neither_split_nor_label(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "train/1.jpg", "train/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "car/2.jpg", "__MACOSX/car/._2.jpg")
    assert label_and_split_by_path(tmp_path, pattern) == {"train/1.jpg": ("train", None), "car/2.jpg": ("car", None)}


def test_a_folder_named_train_that_holds_images_is_a_label(tmp_path: Path) -> None:
    write(tmp_path, "train/1.jpg", "car/2.jpg")
    assert label_and_split_by_path(tmp_path) == {"train/1.jpg": ("train", None), "car/2.jpg": ("car", None)}


def test_unlabelled_files_are_skipped_and_counted_in_the_report(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "stray.jpg", "README.md", *(f"more_{number}.txt" for number in range(6)))
    files = list_training_files(str(tmp_path))
    training_images = read_training_images(spark, files)
    assert [row["path"] for row in training_images.collect()] == ["cat/1.jpg"]
    report = describe_training_images(files)(training_images)
    assert report.numbers["unlabelled_count"] == 8
    assert report.texts["unlabelled"] == "'README.md', 'more_0.txt', 'more_1.txt', 'more_2.txt', 'more_3.txt'"


def test_the_report_counts_both_splits_of_every_label(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.jpg", "train/cat/2.jpg", "test/cat/3.jpg", "train/d|o<g>/4.jpg")
    files = list_training_files(str(tmp_path))
    report = describe_training_images(files)(read_training_images(spark, files))
    assert report.numbers == {"label_count": 2, "holdout_count": 1, "unlabelled_count": 0, "sidecar_count": 0}
    assert report.texts == {}
    assert report.tables["labels"].splitlines()[2:] == ["| cat | 2 | 1 |", "| d_o_g_ | 1 | 0 |"]
    assert report.tables["origins"].splitlines()[2:] == ["| folder | 4 |"]


@pytest.mark.parametrize("names", [[], ["stray.jpg", "another.jpg"]])
def test_a_folder_without_labelled_images_is_an_error_with_the_cure(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, *names)
    with pytest.raises(LabelError, match=rf"{re.escape(str(tmp_path))}: put images into folders named after"):
        list_training_files(str(tmp_path))


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_training_files(str(tmp_path / "nowhere"))


# The split by digest


def test_about_a_fifth_of_the_images_is_held_out(spark: SparkSession) -> None:
    digests = spark.range(20_000).select(F.sha2(F.col("id").cast("string"), 256).alias("image_id"))
    splits = digests.groupBy(split_by_digest(F.col("image_id")).alias("split")).count().collect()
    counts = {row["split"]: row["count"] for row in splits}
    assert set(counts) == {TRAIN, HOLDOUT}
    assert 0.19 < counts[HOLDOUT] / 20_000 < 0.21


def test_the_first_32_bits_of_the_digest_determine_the_split(spark: SparkSession) -> None:
    starts = {"00000013": HOLDOUT, "00000014": TRAIN, "ffffffff": TRAIN, "000000c8": HOLDOUT}  # 19, 20, 95 and 0 of 100
    digests = [(start + rest * 56,) for start in starts for rest in "0f"]
    frame = spark.createDataFrame(digests, "image_id string").withColumn("split", split_by_digest(F.col("image_id")))
    rows = frame.collect()
    assert len(rows) == 8
    assert {(row["image_id"][:8], row["split"]) for row in rows} == set(starts.items())


def test_an_image_keeps_its_split_when_others_arrive_and_when_it_is_renamed(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, *(f"cat/{number}.jpg" for number in range(60)))
    before = {row["image_id"]: row["split"] for row in read(spark, tmp_path)}
    assert set(before.values()) == {TRAIN, HOLDOUT}
    (tmp_path / "cat").rename(tmp_path / "lynx")
    (tmp_path / "lynx" / "0.jpg").rename(tmp_path / "lynx" / "zero.jpg")
    write(tmp_path, *(f"dog/{number}.jpg" for number in range(40)))
    after = {row["image_id"]: row["split"] for row in read(spark, tmp_path)}
    assert len(after) == 100
    assert {image_id: after[image_id] for image_id in before} == before


def test_training_images_have_the_columns_of_their_schema(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg")
    frame = read_training_images(spark, list_training_files(str(tmp_path)))
    expected = StructType.fromDDL(SCHEMA)
    assert [(field.name, field.dataType) for field in frame.schema] == [
        (field.name, field.dataType) for field in expected
    ]
    assert [field.metadata for field in frame.schema] == [field.metadata for field in expected]


# The manifest


def test_a_manifest_sets_labels_and_splits_and_overrides_folders(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "a/not listed.jpg")
    write_manifest(
        tmp_path, "path,label,split\na/1.jpg,cat,train\na/2.jpg,dog,test\na/3.jpg,cat,validation\na/4.jpg,,\n"
    )
    files = list_training_files(str(tmp_path))
    rows = read_training_images(spark, files).collect()
    assert {row["origin"] for row in rows} == {"manifest"}
    assert {row["path"]: (row["label"], row["split"]) for row in rows} == {
        "a/1.jpg": ("cat", TRAIN),
        "a/2.jpg": ("dog", HOLDOUT),
        "a/3.jpg": ("cat", HOLDOUT),
    }
    assert files.unlabelled == ["a/4.jpg", "a/not listed.jpg"]


def test_without_splits_in_the_manifest_the_digest_decides(spark: SparkSession, tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(40)]
    write(tmp_path, *names)
    write_manifest(tmp_path, "path,label\n" + "".join(f"{name},cat\n" for name in names))
    assert {split for _, split in label_and_split_by_path(tmp_path).values()} == {None}
    assert {row["split"] for row in read(spark, tmp_path)} == {TRAIN, HOLDOUT}


def test_a_manifest_sets_groups_and_its_splits_are_recorded_as_user_defined(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    write_manifest(tmp_path, "path,label,split,group\n1.jpg,cat,test,007\n2.jpg,cat,,shop | 2\n3.jpg,dog,,\n")
    rows = {row["path"]: (row["group"], row["split_said"]) for row in read(spark, tmp_path)}
    assert rows == {"1.jpg": ("007", HOLDOUT), "2.jpg": ("shop | 2", None), "3.jpg": (None, None)}


def test_a_manifest_cannot_put_an_image_into_two_groups(tmp_path: Path) -> None:
    write(tmp_path, "1.jpg")
    write_manifest(tmp_path, "path,label,group\n1.jpg,cat,a\n1.jpg,cat,b\n")
    with pytest.raises(
        LabelError, match=rf"{re.escape(str(tmp_path))}/{MANIFEST} has two different lines for '1.jpg': delete one"
    ):
        list_training_files(str(tmp_path))


def test_a_pattern_can_extract_groups(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "shop7/cat_1.jpg")
    (row,) = read(spark, tmp_path, r"(?P<group>shop\d+)/(?P<label>[a-z]+)_")
    assert (row["group"], row["label"]) == ("shop7", "cat")


def test_labels_and_paths_in_a_manifest_are_literal_text(tmp_path: Path) -> None:
    names = ["1.jpg", "2, or so.jpg", "3 写真.jpg", "4.jpg", "5.jpg", "6.jpg", "seven\nlines.jpg"]
    write(tmp_path, *names)
    write_manifest(
        tmp_path,
        '\ufeffpath,extra,label\r\n1.jpg,1,007\r\n"2, or so.jpg",2,"cats, and ""dogs"""\r\n3 写真.jpg,3,naïve 写真\r\n'
        '4.jpg,4,NA\r\n5.jpg,5,true\r\n6.jpg,6,2026-11-20\r\n"seven\nlines.jpg",7,null\r\n',
    )
    assert {path: label for path, (label, _) in label_and_split_by_path(tmp_path).items()} == dict(
        zip(names, ["007", 'cats, and "dogs"', "naïve 写真", "NA", "true", "2026-11-20", "null"], strict=True)
    )


@pytest.mark.parametrize("outside", ["../secret.jpg", "../../etc/passwd", "/etc/passwd", "cat/../../secret.jpg"])
def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path: Path, outside: str) -> None:
    write(tmp_path, "secret.jpg", "training/cat/1.jpg")
    write_manifest(tmp_path / "training", f"path,label\ncat/1.jpg,cat\n{outside},cat\n")
    with pytest.raises(LabelError, match=re.escape(f"lists 1 missing files, such as '{outside}'")):
        list_training_files(str(tmp_path / "training"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "needs the columns path and label, but has no columns", id="nothing"),
        pytest.param("path,label\n1.jpg,cat,more\n", "line 2, has more cells than the header", id="too many cells"),
        pytest.param("file,class\n1.jpg,cat\n", "needs the columns path and label, but has file, class", id="columns"),
        pytest.param("path,label\n", "no labelled image", id="no rows"),
        pytest.param("path,label\n1.jpg,\n", "no labelled image", id="no labels"),
        pytest.param("path,label\n9.jpg,cat\n", "lists 1 missing files, such as '9.jpg'", id="no such file"),
        pytest.param("path,label\n1.jpg,cat\n1.jpg,dog\n", "has two different lines for '1.jpg'", id="two labels"),
        pytest.param(
            "path,label,split\n1.jpg,cat,val\n",
            "'1.jpg', has the split 'val'; use train, validation",
            id="split",
        ),
    ],
)
def test_an_unusable_manifest_is_an_error_with_the_cure(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "1.jpg")
    write_manifest(tmp_path, text)
    with pytest.raises(LabelError, match=re.escape(message)) as caught:
        list_training_files(str(tmp_path))
    assert MANIFEST in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_manifest_in_another_encoding_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    write(tmp_path, "1.jpg")
    (tmp_path / MANIFEST).write_bytes("path,label\n1.jpg,café\n".encode("latin-1"))
    with pytest.raises(LabelError, match=MANIFEST):
        list_training_files(str(tmp_path))


def test_a_repeated_line_in_a_manifest_is_harmless(tmp_path: Path) -> None:
    write(tmp_path, "1.jpg")
    write_manifest(tmp_path, "path,label\n1.jpg,cat\n1.jpg,cat\n")
    assert label_and_split_by_path(tmp_path) == {"1.jpg": ("cat", None)}


# The pattern


def test_a_pattern_extracts_label_and_split_from_the_path(tmp_path: Path) -> None:
    write(tmp_path, "x/cat_1_train.jpg", "x/dog_2_test.jpg", "x/cat_3.jpg", "x/unknown.jpg")
    pattern = r"(?P<label>[a-z]+)_\d+(_(?P<split>[a-z]+))?\.jpg$"
    assert label_and_split_by_path(tmp_path, pattern) == {
        "x/cat_1_train.jpg": ("cat", TRAIN),
        "x/dog_2_test.jpg": ("dog", HOLDOUT),
        "x/cat_3.jpg": ("cat", None),
    }
    assert list_training_files(str(tmp_path), pattern).unlabelled == ["x/unknown.jpg"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param("(?P<label>", "'(?P<label>' is not a regular expression", id="no expression"),
        pytest.param("([a-z]+)_", "has no group named label: write (?P<label>...)", id="no group"),
        pytest.param("(?P<label>dog)_", "no labelled image in", id="nothing found"),
        pytest.param(
            r"(?P<label>cat)_(?P<split>\d)",
            "'cat_1.jpg', has the split '1'; use train, validation, test, holdout, or leave it empty",
            id="split",
        ),
    ],
)
def test_an_unusable_pattern_is_an_error_with_the_cure(tmp_path: Path, pattern: str, message: str) -> None:
    write(tmp_path, "cat_1.jpg")
    with pytest.raises(LabelError, match=re.escape(message)):
        list_training_files(str(tmp_path), pattern)


# Identical images


def test_identical_images_have_at_most_one_label_and_one_split_unless_a_person_settles_it(spark: SparkSession) -> None:
    training_images = spark.createDataFrame(
        [
            ("agreed", "cat", TRAIN),
            ("agreed", "cat", TRAIN),
            ("contradicted", "cat", TRAIN),
            ("contradicted", "dog", TRAIN),
            ("both splits", "dog", TRAIN),
            ("both splits", "dog", HOLDOUT),
            ("alone", "dog", HOLDOUT),
            ("without features", "dog", TRAIN),
        ],
        "image_id string, label string, split string",
    )
    digests = ["agreed", "contradicted", "both splits", "alone"]
    features = spark.createDataFrame(
        [(digest, [1.0], 8, 8, "PNG", None, "b", None, None) for digest in digests], TRAINING_SCHEMA
    )
    split = split_images(training_images)
    labelled = join_split(features, split)
    assert {row["image_id"]: (row["label"], row["split"]) for row in labelled.collect()} == {
        "agreed": ("cat", TRAIN),
        "contradicted": (None, TRAIN),
        "both splits": ("dog", HOLDOUT),
        "alone": ("dog", HOLDOUT),
    }
    settled = [("agreed", "dog"), ("contradicted", "cat"), ("alone", None), ("elsewhere", "cat")]
    frame = spark.createDataFrame(settled, "image_id string, settled_label string")
    again = split_images(training_images, settled=frame)
    assert again.schema == split.schema
    assert {row["image_id"]: (row["label"], row["split"]) for row in again.collect()} == {
        "agreed": ("dog", TRAIN),
        "contradicted": ("cat", TRAIN),
        "both splits": ("dog", HOLDOUT),
        "alone": (None, HOLDOUT),
        "without features": ("dog", TRAIN),
    }, "a label that a person settled replaces that of the files, and null drops the image"
    assert labelled.count() == 4
    assert labelled.columns == [*features.columns, "label", "group", "split", "split_alone"]
    expected = StructType.fromDDL(SPLIT_SCHEMA)
    assert [(field.name, field.metadata) for field in split.schema] == [
        (field.name, field.metadata) for field in expected
    ]
