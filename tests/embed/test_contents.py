"""Contents: bytes come from the row or from its file, and never from a file that has other bytes than before."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.embed.contents import SLICE_BYTES, choose_columns, fill_contents, read_contents
from pipeline.embed.reasons import CHANGED, PURGED, UNREADABLE, VANISHED

SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "length": pa.int64(),
        "content": pa.binary(),
        "location": pa.binary(),
        "path": pa.string(),
    }
)


def row(content: bytes, file: Path | None = None, path: str = "") -> dict[str, object]:
    """A row whose bytes are stored, or in the file, which is written."""
    if file:
        file.write_bytes(content)
    return {
        "image_id": hashlib.sha256(content).hexdigest(),
        "length": len(content),
        "content": None if file else content,
        "location": str(file).encode() if file else None,
        "path": path,
    }


def batch(*rows: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), SCHEMA)


def test_stored_bytes_and_bytes_of_files_are_read_alike(tmp_path: Path) -> None:
    rows = batch(row(b"one"), row(b"two", tmp_path / "two.jpg"), row(b"", tmp_path / "empty.jpg"))
    (read,) = read_contents(rows)
    assert (read.bytes.to_pylist(), read.reasons) == ([b"one", b"two", b""], {})
    assert read.rows == rows


def test_a_file_that_was_replaced_deleted_or_purged_has_a_reason_and_no_bytes(tmp_path: Path) -> None:
    names = ("same", "replaced", "longer", "shorter", "gone", "folder")
    files = [tmp_path / name for name in names]
    rows = batch(*(row(name.encode(), file) for name, file in zip(names, files, strict=True)), row(b"purged"))
    rows = rows.set_column(2, "content", pa.nulls(len(rows), pa.binary()))
    (tmp_path / "replaced").write_bytes(b"deplaced")
    (tmp_path / "longer").write_bytes(b"longer than before")
    (tmp_path / "shorter").write_bytes(b"short")
    (tmp_path / "gone").unlink()
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    (read,) = read_contents(rows)
    assert read.bytes.to_pylist() == [b"same", *[None] * 6]
    assert read.reasons == {1: CHANGED, 2: CHANGED, 3: CHANGED, 4: VANISHED, 5: UNREADABLE, 6: PURGED}


def test_a_file_that_only_moved_in_time_has_its_bytes(tmp_path: Path) -> None:
    rows = batch(row(b"same", tmp_path / "same"))
    (tmp_path / "same").touch()
    (read,) = read_contents(rows)
    assert read.bytes.to_pylist() == [b"same"]


def test_files_are_read_in_slices_of_bounded_size(tmp_path: Path) -> None:
    size, lost = SLICE_BYTES // 3, tmp_path / "5"
    rows = batch(*(row(number.to_bytes(1, "big") * size, tmp_path / str(number), str(number)) for number in range(8)))
    lost.unlink()
    reads = list(read_contents(rows))
    assert len(reads) > 1
    assert max(sum(len(each or b"") for each in read.bytes.to_pylist()) for read in reads) <= SLICE_BYTES + size
    assert [path for read in reads for path in read.rows["path"].to_pylist()] == [str(number) for number in range(8)]
    found = {read.rows["path"][number].as_py(): reason for read in reads for number, reason in read.reasons.items()}
    assert found == {"5": VANISHED}
    assert all(len(read.rows) == len(read.bytes) for read in reads)


def test_rows_of_an_earlier_version_have_no_location() -> None:
    rows = batch(row(b"one"), row(b"purged")).set_column(2, "content", pa.array([b"one", None], pa.binary()))
    (read,) = read_contents(rows.select(choose_columns(["path", "image_id", "length", "content"])))
    assert (read.bytes.to_pylist(), read.reasons) == ([b"one", None], {1: PURGED})


@pytest.mark.parametrize("count", [0, 1])
def test_images_without_bytes_are_left_out_where_only_bytes_are_wanted(tmp_path: Path, count: int) -> None:
    rows = batch(row(b"one", tmp_path / "one"), row(b"two", tmp_path / "two")).slice(0, 2 * count)
    (tmp_path / "two").unlink()
    filled = pa.Table.from_batches(fill_contents(iter([rows])), SCHEMA.empty_table().select([0, 2]).schema)
    assert filled["content"].to_pylist() == [b"one"] * count
