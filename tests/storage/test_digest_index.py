"""An index finds exactly the rows that reading every id would find, however it came about."""

import os
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage import digest_index, index_segments
from pipeline.storage.digest_index import DigestIndex
from pipeline.storage.index_segments import keys_of, list_segments
from pipeline.storage.stored_rows import StoredFile

FILE_ROWS = 50


@pytest.fixture
def index(tmp_path: Path) -> DigestIndex:
    return DigestIndex(str(tmp_path), str(tmp_path / "_index"))


@pytest.fixture
def files(index: DigestIndex) -> list[StoredFile]:
    """Six files of fifty images; the first image of each file is in the next one too."""
    return [write_file(index, number) for number in range(6)]


def write_file(index: DigestIndex, number: int) -> StoredFile:
    ids = [id_of(number * FILE_ROWS + row) for row in range(FILE_ROWS)]
    ids[-1] = id_of((number + 1) * FILE_ROWS)
    pq.write_table(pa.table({"image_id": ids}), f"{index.table}/{number}.parquet", row_group_size=7)
    return StoredFile(f"{number}.parquet", None, FILE_ROWS)


def id_of(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def find(index: DigestIndex, files: list[StoredFile], *numbers: int) -> dict[str, list[int]]:
    found = index.find_rows(files, pa.array([id_of(number) for number in numbers], pa.string()))
    return {path: rows.tolist() for path, rows in found.items()}


def none_but(files: list[StoredFile], **rows: list[int]) -> dict[str, list[int]]:
    return {file.path: rows.get(f"file_{file.path[0]}", []) for file in files}


def test_the_key_of_an_id_is_its_first_eight_bytes() -> None:
    ids = [id_of(number) for number in range(5)]
    expected = [int(image_id[:16], 16) for image_id in ids]
    assert keys_of(pa.array(ids)).tolist() == expected
    assert keys_of(pa.chunked_array([ids[:2], [], ids[2:]])).tolist() == expected
    with pytest.raises(ValueError, match="hexadecimal"):
        keys_of(pa.array(["not an id of an image"]))


def test_few_new_files_are_left_to_the_reader(index: DigestIndex, files: list[StoredFile]) -> None:
    assert find(index, files, 3) == {}
    assert not Path(index.folder).exists()


def test_rows_are_found_in_every_file_that_has_the_image(index: DigestIndex, files: list[StoredFile]) -> None:
    index.complete(files, is_complete=True)
    assert find(index, files, 3, 120, 121, 9_999) == none_but(files, file_0=[3], file_2=[20, 21])
    assert find(index, files, 50, 50) == none_but(files, file_0=[49], file_1=[0])
    assert find(index, files) == none_but(files)
    assert find(index, [], 3) == {}


def test_a_lookup_indexes_new_files_once_they_are_many(
    index: DigestIndex, files: list[StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_index, "MAX_UNINDEXED_FILES", 3)
    assert find(index, files[:3], 3) == {}
    assert find(index, files[:4], 3) == none_but(files[:4], file_0=[3])
    assert find(index, files, 3) == none_but(files[:4], file_0=[3]), "two new files are few"
    for file in files[:4]:
        os.unlink(f"{index.table}/{file.path}")
    assert find(index, files[:4], 3) == none_but(files[:4], file_0=[3]), "no id is read again"
    monkeypatch.setattr(digest_index, "MAX_UNINDEXED_ROWS", 99)
    assert find(index, files, 3) == none_but(files, file_0=[3])


def test_files_that_left_the_table_are_not_found(index: DigestIndex, files: list[StoredFile]) -> None:
    index.complete(files, is_complete=True)
    assert find(index, files[1:], 3, 50) == none_but(files[1:], file_1=[0])


def test_a_merged_index_finds_the_same(
    index: DigestIndex, files: list[StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_index, "MAX_SEGMENTS", 1)
    for module in (index_segments, digest_index):
        monkeypatch.setattr(module, "READ_ROWS", 64)
    monkeypatch.setattr(index_segments, "GROUP_ROWS", 16)
    for number in (2, 4, 6):
        index.complete(files[:number], is_complete=True)
    kept = [file for file in files if file.path != "3.parquet"]
    expected = [find(index, kept, number) for number in range(301)]
    former = index.complete(kept)
    index.merge(kept)
    (segment,) = list_segments(index.folder)
    assert len(former) > 1
    assert segment.row_count == 5 * FILE_ROWS, "the rows of the file that left are gone"
    assert [find(index, kept, number) for number in range(301)] == expected
    index.merge(kept)
    assert list_segments(index.folder) == [segment], "there is nothing to do"
    monkeypatch.setattr(DigestIndex, "complete", lambda self, files: former)
    assert find(index, kept, 3) == {}, "a lookup that began before the merge leaves all files to the reader"


def test_an_index_mostly_of_former_files_is_written_anew(index: DigestIndex, files: list[StoredFile]) -> None:
    (segment,) = index.complete(files, is_complete=True)
    index.merge(files[3:])
    assert list_segments(index.folder) == [segment], "half of it is in use"
    index.merge(files[4:])
    assert [segment.row_count for segment in list_segments(index.folder)] == [2 * FILE_ROWS]
    assert find(index, files[4:], 250) == none_but(files[4:], file_4=[49], file_5=[0])
    index.merge([])
    assert list_segments(index.folder) == []


def test_a_draft_of_a_killed_run_is_deleted_after_a_day(index: DigestIndex, files: list[StoredFile]) -> None:
    index.complete(files, is_complete=True)
    young, old = (Path(index.folder, f"{name}.parquet.draft") for name in ("young", "old"))
    for draft in (young, old):
        draft.write_bytes(b"half a segment")
    then = time.time() - 25 * 3600
    os.utime(old, (then, then))
    index.merge(files)
    assert (young.exists(), old.exists()) == (True, False)
    assert find(index, files, 3) == none_but(files, file_0=[3])


def test_a_damaged_segment_is_replaced(index: DigestIndex, files: list[StoredFile]) -> None:
    index.complete(files, is_complete=True)
    (segment,) = list_segments(index.folder)
    path = Path(index.folder, segment.name)
    path.write_bytes(path.read_bytes()[:-20])
    assert find(index, files, 3) == {}
    index.complete(files, is_complete=True)
    assert find(index, files, 3) == none_but(files, file_0=[3])


def test_a_lookup_goes_on_where_no_index_can_be_written(
    index: DigestIndex, files: list[StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_index, "MAX_UNINDEXED_FILES", 3)
    (Path(index.table) / "file").touch()
    assert find(replace(index, folder=f"{index.table}/file/index"), files, 3) == {}


def test_a_search_reads_the_groups_that_may_have_the_key_alone(
    index: DigestIndex, files: list[StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_segments, "GROUP_ROWS", 16)
    ((segment, _),) = index.complete(files, is_complete=True).items()
    opened = pq.ParquetFile(f"{index.folder}/{segment.name}")
    ids = sorted(id_of(number) for number in range(300))
    key = keys_of(pa.array([ids[150]]))
    assert len(index_segments._groups_with(opened, key)) == 1 < opened.num_row_groups
    assert len(index_segments._groups_with(opened, np.array([0], np.uint64))) == 0
