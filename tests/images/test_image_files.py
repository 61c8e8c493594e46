"""Image files: every file of a folder is one row, whatever its name and whatever happens to it before it is read."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql.types import StructType

from pipeline.embed.reasons import CHANGED, TOO_MANY_BYTES, UNREADABLE, VANISHED
from pipeline.images import image_files
from pipeline.images.image_files import BATCH_BYTES, FILE_COLUMNS, SCHEMA, read_days, read_images
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.files import list_files

ODD_NAMES = [
    "_DSC0001.JPG",
    ".hidden",
    "a:b.jpg",
    "two words .jpg",
    " leading.jpg",
    'it\'s "quoted".jpg',
    "two\nlines.jpg",
    "tab\there.jpg",
    "back\\slash.jpg",
    "%41.jpg",
    "A.jpg",
    "day=2026-11-22#?&*[a-z]{x}.jpg",
    "$(touch pwned);.jpg",
    "naïve_é_写真_🍎.jpg",
    "without_ending",
    "_folder/.folder/deep.jpg",
    "nested/deeper/deepest/x.jpg",
    "-rf",
    "~",
    "n" * 255,
]


def write(folder: Path, *names: str) -> None:
    """Writes files that contain their own name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def read(spark: SparkSession, folder: object) -> dict[str, Row]:
    rows = read_images(spark, str(folder)).collect()
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


# Names


def test_every_odd_name_is_a_row_with_its_own_bytes(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, *ODD_NAMES)
    rows = read(spark, tmp_path)
    assert sorted(rows) == sorted(ODD_NAMES)
    assert all(bytes(row["content"]).decode() == path for path, row in rows.items())
    assert {row["read_error"] for row in rows.values()} == {None}


def test_a_file_name_that_is_not_text_is_a_row_like_any_other(spark: SparkSession, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    os.mkdir(folder + b"/\xe9t\xe9")
    for name in (b"\xff\xfe.jpg", b"caf\xe9.jpg", b"\xe9t\xe9/x.jpg", b"plain.jpg"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(name)
    rows = read(spark, tmp_path)
    assert {path: bytes(row["content"]) for path, row in rows.items()} == {
        r"\xff\xfe.jpg": b"\xff\xfe.jpg",
        r"caf\xe9.jpg": b"caf\xe9.jpg",
        r"\xe9t\xe9/x.jpg": b"\xe9t\xe9/x.jpg",
        "plain.jpg": b"plain.jpg",
    }


def test_files_are_listed_by_path_with_size_and_time(tmp_path: Path) -> None:
    write(tmp_path, "b/2.jpg", "a.jpg", "b/1.jpg")
    os.utime(tmp_path / "a.jpg", (0, 1_700_000_000.25))
    files = list_files(str(tmp_path))
    assert files["path"].to_pylist() == ["a.jpg", "b/1.jpg", "b/2.jpg"]
    assert files["length"].to_pylist() == [5, 7, 7]
    assert files["modified_at"][0].as_py() == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)


# Rows


def test_the_id_of_an_image_is_the_digest_of_its_bytes(spark: SparkSession, tmp_path: Path) -> None:
    content = os.urandom(5000)
    for name in ("one.jpg", "two.jpg"):
        (tmp_path / name).write_bytes(content)
    os.utime(tmp_path / "one.jpg", (0, 86_400))
    rows = read(spark, tmp_path)
    assert {row["image_id"] for row in rows.values()} == {hashlib.sha256(content).hexdigest()}
    assert {bytes(row["content"]) for row in rows.values()} == {content}
    assert {row["length"] for row in rows.values()} == {5000}
    assert rows["one.jpg"]["modified_at"] == datetime.fromtimestamp(86_400)  # noqa: DTZ006 (Spark gives local time)


def test_an_empty_folder_has_all_columns_and_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty" / "emptier").mkdir(parents=True)
    images = read_images(spark, str(tmp_path))
    assert images.schema == StructType.fromDDL(FILE_COLUMNS)
    assert images.collect() == []


def test_the_columns_are_those_of_the_schema_with_their_comments(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "x.jpg")
    assert read_images(spark, str(tmp_path)).schema == StructType.fromDDL(FILE_COLUMNS)
    images = read_days(lambda: spark, {date(2026, 11, 20): str(tmp_path)})
    assert images.schema == StructType.fromDDL(SCHEMA)
    assert all(field.metadata["comment"] for field in images.schema)


def test_a_missing_folder_is_an_immediate_error(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_images(spark, str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_days(lambda: spark, {date(2026, 11, 20): str(tmp_path), date(2026, 11, 21): str(tmp_path / "nowhere")})


def test_a_file_instead_of_the_folder_is_an_immediate_error(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "x.jpg")
    with pytest.raises(NotADirectoryError):
        read_images(spark, str(tmp_path / "x.jpg"))


def test_a_file_that_vanishes_after_the_listing_has_the_reason_in_its_row(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "good.jpg", "deleted.jpg", "becomes_folder.jpg", "gone/with/its/folder.jpg")
    images = read_images(spark, str(tmp_path))
    for name in ("deleted.jpg", "becomes_folder.jpg", "gone/with/its/folder.jpg"):
        (tmp_path / name).unlink()
    (tmp_path / "becomes_folder.jpg").mkdir()
    (tmp_path / "gone/with/its").rmdir()
    rows = {row["path"]: row for row in images.collect()}
    assert {path: row["read_error"] for path, row in rows.items()} == {
        "good.jpg": None,
        "deleted.jpg": VANISHED,
        "becomes_folder.jpg": UNREADABLE,
        "gone/with/its/folder.jpg": VANISHED,
    }
    assert all((row["content"] is None) == (row["image_id"] is None) for row in rows.values())
    assert [path for path, row in rows.items() if row["content"] is not None] == ["good.jpg"]
    assert rows["deleted.jpg"]["length"] == len("deleted.jpg")


def test_a_file_that_is_still_arriving_or_was_replaced_is_reported_as_changed(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, "whole.jpg", "growing.jpg", "shrinking.jpg", "replaced.jpg")
    images = read_images(spark, str(tmp_path))
    with (tmp_path / "growing.jpg").open("ab") as file:
        file.write(b"more")
    os.truncate(tmp_path / "shrinking.jpg", 3)
    (tmp_path / "draft").write_bytes(b"replaced.JPG")  # of the same length
    os.replace(tmp_path / "draft", tmp_path / "replaced.jpg")
    rows = {row["path"]: row for row in images.collect()}
    assert {path: row["read_error"] for path, row in rows.items()} == {
        "whole.jpg": None,
        "growing.jpg": CHANGED,
        "shrinking.jpg": CHANGED,
        "replaced.jpg": CHANGED,
    }
    assert {row["read_error"] for row in read(spark, tmp_path).values()} == {None}, "the next reading finds them whole"


def test_a_file_over_the_limit_is_rejected_unread(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "small.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)  # a sparse file: reading it would never end
    rows = read(spark, tmp_path)
    assert (rows["huge.jpg"]["read_error"], rows["huge.jpg"]["length"]) == (TOO_MANY_BYTES, 2**40)
    assert rows["huge.jpg"]["content"] is None
    assert rows["small.jpg"]["read_error"] is None


def test_a_cycle_of_links_ends_and_every_file_is_listed_once(tmp_path: Path) -> None:
    write(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "across").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "back").symlink_to(tmp_path / "a")
    (tmp_path / "itself").symlink_to("itself")
    names = [path.rsplit("/")[-1] for path in list_files(str(tmp_path))["path"].to_pylist()]
    assert sorted(names) == ["x.jpg", "y.jpg"]


def test_linked_files_and_folders_are_read(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/camera/x.jpg", "elsewhere/y.jpg")
    day = tmp_path / "day"
    day.mkdir()
    (day / "camera").symlink_to(tmp_path / "elsewhere" / "camera")
    (day / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "y.jpg")
    (tmp_path / "link_to_day").symlink_to(day)
    rows = read(spark, tmp_path / "link_to_day")
    assert sorted(rows) == ["camera/x.jpg", "linked.jpg"]
    assert bytes(rows["linked.jpg"]["content"]) == b"elsewhere/y.jpg"


def test_pipes_and_dangling_links_are_skipped_without_blocking(tmp_path: Path) -> None:
    write(tmp_path, "x.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would block forever
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert list_files(str(tmp_path))["path"].to_pylist() == ["x.jpg"]


# Folders


def test_a_folder_has_the_same_rows_under_each_of_its_names(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "days/with space/x.jpg", "days/with space/sub/y.jpg")
    monkeypatch.chdir(tmp_path)  # Spark's own processes stay where they are
    names = [
        str(tmp_path / "days" / "with space"),
        str(tmp_path / "days" / "with space") + "/",
        "days/with space",
        "./days/../days/with space",
        (tmp_path / "days" / "with space").as_uri(),
        (tmp_path / "days" / "with space").as_uri() + "/",
    ]
    for name in names:
        rows = read(spark, name)
        assert {path: bytes(row["content"] or b"").decode() for path, row in rows.items()} == {
            "x.jpg": "days/with space/x.jpg",
            "sub/y.jpg": "days/with space/sub/y.jpg",
        }, name


def test_an_unknown_kind_of_store_is_an_error_that_names_it(spark: SparkSession) -> None:
    with pytest.raises(pa.ArrowInvalid, match="floppy"):
        read_images(spark, "floppy://drive/a")


def test_days_stay_apart_and_a_day_may_be_empty(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "2/x.jpg", "2/y.jpg", "4/x.jpg")
    for empty in ("1", "3", "5"):
        (tmp_path / empty).mkdir()
    folders = {date(2026, 11, number): str(tmp_path / str(number)) for number in range(1, 6)}
    rows = read_days(lambda: spark, folders).frame.collect()
    assert sorted((row["day"].day, row["path"], bytes(row["content"])) for row in rows) == [
        (2, "x.jpg", b"2/x.jpg"),
        (2, "y.jpg", b"2/y.jpg"),
        (4, "x.jpg", b"4/x.jpg"),
    ]


def test_a_few_local_files_are_stored_without_a_session_as_workers_store_them(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> SparkSession:
        raise AssertionError("a session was opened")

    write(tmp_path / "landing", *ODD_NAMES, "folder/Thumbs.db")
    (tmp_path / "landing" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    folders, schema = {date(2026, 11, 20): str(tmp_path / "landing")}, parse_schema(SCHEMA)
    stored = {}
    for reader, limit, open_spark in (("driver", 2**12, refuse), ("workers", 1, lambda: spark)):
        monkeypatch.setattr(image_files, "DRIVER_FILES", limit)
        read_days(open_spark, folders).write_to(str(tmp_path / reader), schema, "day")
        stored[reader] = ds.dataset(tmp_path / reader, partitioning="hive").to_table().sort_by("path").to_pylist()
    assert stored["driver"] == stored["workers"]
    assert {row["path"] for row in stored["driver"]} >= set(ODD_NAMES)


# Batches


def test_batches_of_bytes_are_bounded(spark: SparkSession, tmp_path: Path) -> None:
    megabyte = 2**20
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(number.to_bytes(1, "big") * megabyte)

    def measure(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            size = sum(len(content.as_py()) for content in batch["content"])
            yield pa.RecordBatch.from_pylist([{"rows": batch.num_rows, "bytes": size}])

    batches = read_images(spark, str(tmp_path)).coalesce(1).mapInArrow(measure, "rows long, bytes long").collect()
    assert sum(batch["rows"] for batch in batches) == 40
    assert sum(batch["bytes"] for batch in batches) == 40 * megabyte
    assert max(batch["bytes"] for batch in batches) <= BATCH_BYTES + megabyte
    assert len(batches) > 1


def test_every_file_of_a_large_folder_is_one_row(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, *(f"{number % 17}/{number}.jpg" for number in range(3000)))
    rows = read_images(spark, str(tmp_path)).select("path", "image_id").collect()
    assert {row["path"]: row["image_id"] for row in rows} == {
        path: hashlib.sha256(path.encode()).hexdigest()
        for path in (f"{number % 17}/{number}.jpg" for number in range(3000))
    }
