"""Locations: every listed file is opened again by its location alone, whatever its name."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Event, get_ident

import pytest

from pipeline.storage.files import list_files
from pipeline.storage.locations import READERS, is_local, locate_file, open_location, read_in_groups


def locate_all(folder: str) -> list[bytes]:
    return [locate_file(row["folder"], row["location"]) for row in list_files(folder).to_pylist()]


def test_a_listed_file_is_opened_by_its_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [b"a b%20c#d?.jpg", b"caf\xe9.jpg", "写真.jpg".encode(), b"sub/back\\slash\nline.jpg"]
    (tmp_path / "sub").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    for folder in (str(tmp_path), tmp_path.as_uri(), "."):
        monkeypatch.chdir(tmp_path)
        found = locate_all(folder)
        monkeypatch.chdir("/")
        assert all(map(is_local, found))
        assert {open_location(location).read() for location in found} == set(names), folder


@pytest.mark.parametrize(
    ("folder", "name", "location"),
    [
        ("s3://photos/landing/days", b"photos/landing/days/a#%20b.jpg", b"s3://photos/landing/days/a#%20b.jpg"),
        ("gs://photos", b"photos/a.jpg", b"gs://photos/a.jpg"),
        ("az://photos/days", b"photos/days/a.jpg", b"az://photos/days/a.jpg"),
        (
            "abfss://photos@account.dfs.core.windows.net/days",
            b"photos/days/a.jpg",
            b"abfss://photos@account.dfs.core.windows.net/days/a.jpg",
        ),
    ],
)
def test_the_location_of_an_object_names_its_store(folder: str, name: bytes, location: bytes) -> None:
    assert locate_file(folder, name) == location
    assert not is_local(location)


@pytest.mark.parametrize("location", [b"", b"a.jpg", b"/there/is/no/file.jpg", b"s3://photos"])
def test_what_is_no_file_is_not_found(location: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        open_location(location)


def read_all(read: Callable, *rows: tuple[bytes | None, int]) -> list[tuple[int, list]]:
    return list(read_in_groups([dict(location=location, length=length) for location, length in rows], read, 100))


def test_files_are_read_in_groups_of_bounded_size_and_in_their_order() -> None:
    sizes = [60, 60, 250, 0, 99, 1, 5]
    groups = read_all(lambda row: row["length"], *((b"/a", size) for size in sizes))
    assert groups == [(0, [60, 60]), (2, [250]), (3, [0, 99, 1]), (6, [5])]
    assert read_all(lambda row: row) == []


def test_objects_of_a_store_are_read_at_once_and_files_one_after_another() -> None:
    together = Barrier(READERS, timeout=30)
    assert read_all(lambda row: together.wait() >= 0, *[(b"s3://bucket/a", 1)] * READERS) == [(0, [True] * READERS)]
    assert read_all(lambda row: get_ident(), *[(b"/a", 1)] * 9, (None, 1)) == [(0, [get_ident()] * 10)]


def test_the_next_objects_are_read_while_the_caller_works_and_no_more() -> None:
    begun = [Event() for _ in range(4)]
    rows = [dict(location=b"s3://bucket/a", length=100, number=number) for number in range(4)]
    groups = read_in_groups(rows, lambda row: begun[row["number"]].set(), 100)
    next(groups)
    assert begun[1].wait(timeout=30)
    assert not begun[2].is_set()
    assert len(list(groups)) == 3
