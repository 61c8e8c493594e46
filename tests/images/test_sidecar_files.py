"""Sidecar files are recognised by folder, or by name and bytes; photos with odd names stay photos."""

from datetime import date
from pathlib import Path

import pytest
from conftest import MakePhoto
from pyspark.sql import SparkSession
from sidecars import APPLE_DOUBLE, DESKTOP_INI, DS_STORE, THUMBS_DB

from pipeline.embed.reasons import TOO_MANY_BYTES
from pipeline.images.image_files import describe_images, read_days, read_images
from pipeline.images.late_files import compare_files
from pipeline.images.sidecar_files import SIDECAR, is_sidecar, is_sidecar_path
from pipeline.storage.files import list_files

JPEG_START = b"\xff\xd8\xff\xe0\0\x10JFIF"


@pytest.mark.parametrize(
    "folder",
    [
        *("__MACOSX", ".AppleDouble", ".Trashes", ".Spotlight-V100", "$RECYCLE.BIN", "System Volume Information"),
        *("@eaDir", "#recycle", ".thumbnails", ".Trash-1000", "lost+found"),
    ],
)
def test_everything_below_a_sidecar_folder_is_a_sidecar_at_any_depth(folder: str) -> None:
    for path in (f"{folder}/x.jpg", f"shop/{folder}/till/x.jpg"):
        assert is_sidecar(path, JPEG_START)
        assert is_sidecar_path(path)


@pytest.mark.parametrize("path", ["eaDir/x.jpg", "MACOSX/x.jpg", "thumbnails/x.jpg", "Lost+Found/x.jpg", "__MACOSX"])
def test_a_folder_with_a_similar_name_is_like_any_other(path: str) -> None:
    assert not is_sidecar(path, b"")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("._x.jpg", APPLE_DOUBLE),
        ("._x.jpg", b""),
        ("._.DS_Store", APPLE_DOUBLE),
        (".DS_Store", DS_STORE),
        ("Thumbs.db", THUMBS_DB),
        ("THUMBS.DB", THUMBS_DB),
        ("ehthumbs.db", THUMBS_DB),
        ("Desktop.ini", DESKTOP_INI),
        ("x.jpg@SynoEAStream", APPLE_DOUBLE),
        ("x.jpg@SynoResource", b"resource"),
        ("x.jpg:Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n"),
        ("Icon\r", b""),
        (".directory", b"[Desktop Entry]\nIcon=folder\n"),
        ("IMG_0001.AAE", b"<?xml version='1.0'?><!DOCTYPE plist>"),
    ],
)
def test_a_sidecar_is_recognised_by_name_unless_its_bytes_are_an_image(name: str, content: bytes) -> None:
    assert is_sidecar(f"cat/{name}", content)
    assert not is_sidecar(f"cat/{name}", JPEG_START)


@pytest.mark.parametrize("name", ["x.jpg", "_x.jpg", ".x.jpg", ".hidden", "notes.txt", "thumbs.jpg", "db", "x.ini"])
def test_other_files_are_no_sidecars_whatever_their_bytes(name: str) -> None:
    assert not is_sidecar(name, b"")
    assert not is_sidecar(name, APPLE_DOUBLE)


def test_an_apple_double_name_alone_does_not_make_a_sidecar() -> None:
    assert not is_sidecar_path("._x.jpg"), "it may be a photo"
    assert is_sidecar_path(".DS_Store")
    assert is_sidecar_path("cat/._Thumbs.db")


def test_rows_of_sidecars_are_kept_with_a_reason_of_their_own(
    spark: SparkSession, tmp_path: Path, make_photo: MakePhoto
) -> None:
    (tmp_path / "@eaDir" / "x.jpg").mkdir(parents=True)
    (tmp_path / "x.jpg").write_bytes(make_photo("red", 0))
    (tmp_path / "._photo.jpg").write_bytes(make_photo("red", 1))
    (tmp_path / "._cut.jpg").write_bytes(make_photo("red", 2)[:300])
    (tmp_path / "._x.jpg").write_bytes(APPLE_DOUBLE)
    (tmp_path / "._empty.jpg").write_bytes(b"")
    (tmp_path / "@eaDir" / "x.jpg" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(make_photo("red", 3))
    with (tmp_path / "Thumbs.db").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "@eaDir" / "huge.jpg").write_bytes(b"")
    with (tmp_path / "._huge.jpg").open("wb") as file:
        file.write(JPEG_START)
        file.truncate(2**40)
    rows = {row["path"]: row for row in read_images(spark, str(tmp_path)).collect()}
    errors = {path: row["read_error"] for path, row in rows.items()}
    assert errors == {
        **dict.fromkeys(["x.jpg", "._photo.jpg", "._cut.jpg"]),
        **dict.fromkeys(["._x.jpg", "._empty.jpg", "Thumbs.db", "@eaDir/huge.jpg"], SIDECAR),
        "@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg": SIDECAR,
        "._huge.jpg": TOO_MANY_BYTES,
    }
    without = {path for path, row in rows.items() if row["image_id"] is None and row["content"] is None}
    assert without == {path for path, error in errors.items() if error}


def test_sidecars_are_counted_apart_from_unreadable_files(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(DS_STORE)
    (tmp_path / "x.jpg").write_bytes(JPEG_START)
    day = date(2026, 11, 20)
    numbers = describe_images(read_days(lambda: spark, {day: str(tmp_path)}).frame.toArrow())[day].numbers
    assert (numbers["sidecar_count"], numbers["unreadable_count"], numbers["distinct_image_count"]) == (1, 0, 1)


def test_a_day_of_images_alone_has_no_sidecars_and_no_unreadable_files(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(JPEG_START)
    day = date(2026, 11, 20)
    numbers = describe_images(read_days(lambda: spark, {day: str(tmp_path)}).frame.toArrow())[day].numbers
    assert (numbers["sidecar_count"], numbers["unreadable_count"], numbers["megabytes"]) == (
        0,
        0,
        len(JPEG_START) / 1e6,
    )


def test_sidecars_are_neither_late_nor_gone(spark: SparkSession, tmp_path: Path, make_photo: MakePhoto) -> None:
    for name, content in (("x.jpg", JPEG_START), ("._x.jpg", APPLE_DOUBLE), (".DS_Store", DS_STORE)):
        (tmp_path / name).write_bytes(content)
    stored = read_images(spark, str(tmp_path)).drop("content").toArrow()
    (tmp_path / "._x.jpg").unlink()
    (tmp_path / ".DS_Store").write_bytes(DS_STORE * 2)
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "x.jpg").write_bytes(b"thumbnail")
    arrivals = compare_files(list_files(str(tmp_path)), stored)
    assert (arrivals.late, arrivals.gone, arrivals.digest) == ((), (), "")
    (tmp_path / "._late.jpg").write_bytes(make_photo("red", 1))
    assert compare_files(list_files(str(tmp_path)), stored).late == ("._late.jpg",), "it may be a photo"
