from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import list_records
from pyspark.sql import SparkSession

from pipeline.storage import stored_rows as stored
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import map_columns
from pipeline.storage.stored_rows import PLACE, StoredFile, StoredRows, read_portion, share_rows
from pipeline.storage.task_sharing import TASKS_AT_ONCE

DAYS = (date(2026, 11, 20), date(2026, 11, 21))
GROUP_ROWS = 30
FILE_ROWS = 100


@pytest.fixture
def numbers(spark: SparkSession, tmp_path: Path) -> StoredRows:
    """The numbers from 0 to 399, in two files of each of two days, in row groups of thirty."""
    files = []
    for place in range(4):
        day = DAYS[place // 2]
        path = f"day={day}/{place}.parquet"
        (tmp_path / path).parent.mkdir(exist_ok=True)
        values = pa.table({"number": pa.array(range(place * FILE_ROWS, (place + 1) * FILE_ROWS), pa.int64())})
        pq.write_table(values, tmp_path / path, row_group_size=GROUP_ROWS)
        files.append(StoredFile(path, day, FILE_ROWS))
    return StoredRows(spark, str(tmp_path), parse_schema("day date, number long"), tuple(files))


def all_rows(rows: pa.Table) -> pa.ChunkedArray:
    return pc.is_valid(rows["number"])


def read_all(rows: StoredRows, places: pa.Table, task_weight: int) -> list[list[tuple[date, list[int]]]]:
    """The portions of each task, read as the workers read them."""
    portions = share_rows(rows.spark, places, [1] * places.num_rows, task_weight)
    columns = "day date, file string, row_group int, rows array<int>"
    tasks = portions.mapInArrow(lambda batches: batches, columns).rdd.glom().collect()
    return [
        [
            (portion.day, read_portion(rows.folder, portion.asDict(), ["number"])["number"].to_pylist())
            for portion in task
        ]
        for task in tasks
    ]


def test_a_frame_has_all_rows_with_their_days(numbers: StoredRows) -> None:
    rows = numbers.frame.collect()
    assert sorted(row.number for row in rows) == list(range(400))
    assert Counter(row.day for row in rows) == dict.fromkeys(DAYS, 200)


def test_every_row_is_found_with_its_place(numbers: StoredRows) -> None:
    found = numbers.locate(["number"], all_rows)
    assert found.column_names == ["number", *PLACE]
    assert found["number"].to_pylist() == list(range(400))
    for row in found.to_pylist():
        place, position = divmod(row["number"], FILE_ROWS)
        assert (row["day"], row["file"]) == (DAYS[place // 2], numbers.files[place].path)
        assert (row["row_group"], row["row"]) == divmod(position, GROUP_ROWS)


def test_only_wanted_rows_are_found(numbers: StoredRows) -> None:
    found = numbers.locate(["number"], lambda rows: pc.is_in(rows["number"], pa.array([5, 399, 1000])))
    assert found["number"].to_pylist() == [5, 399]
    assert replace(numbers, files=()).locate(["number"], all_rows).schema.types[:2] == [pa.int64(), pa.date32()]


def test_rows_that_cannot_be_wanted_are_not_read(numbers: StoredRows) -> None:
    first, second, third, fourth = (file.path for file in numbers.files)
    for path in (first, fourth):
        Path(numbers.folder, path).unlink()
    among = {first: np.array([], int), second: np.array([0, 29, 95]), fourth: np.array([], int)}
    offered = []

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        offered.extend(rows["number"].to_pylist())
        return pc.greater(rows["number"], 100)

    found = numbers.locate(["number"], keep, among)
    assert offered == [100, 129, 195, *range(200, 300)]
    assert found.slice(0, 2).select(["number", *PLACE]).to_pylist() == [
        {"number": 129, "day": DAYS[0], "file": second, "row_group": 0, "row": 29},
        {"number": 195, "day": DAYS[0], "file": second, "row_group": 3, "row": 5},
    ]
    assert found["file"].to_pylist()[2:] == [third] * 100


def test_a_lookup_holds_a_bounded_number_of_rows(numbers: StoredRows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LOOKUP_ROWS", 2 * FILE_ROWS)
    held = []

    def keep(rows: pa.Table) -> pa.ChunkedArray:
        held.append(rows.num_rows)
        return all_rows(rows)

    assert numbers.locate(["number"], keep)["number"].to_pylist() == list(range(400))
    assert held == [200, 200]


def test_every_wanted_row_is_read_by_one_task_and_tasks_are_equal(numbers: StoredRows) -> None:
    wanted = numbers.locate(["number"], lambda rows: pc.equal(pc.bit_wise_and(rows["number"], 1), 0))
    tasks = read_all(numbers, wanted, 40)
    assert sorted(number for task in tasks for _, part in task for number in part) == list(range(0, 400, 2))
    assert len(tasks) % TASKS_AT_ONCE == 0
    sizes = [sum(len(part) for _, part in task) for task in tasks]
    assert max(sizes) - min(sizes) <= 10


@pytest.mark.parametrize("part_rows", [2**11, FILE_ROWS // 4, 1])
@pytest.mark.parametrize("driver_rows", [0, 400], ids=["workers", "driver"])
def test_every_row_is_mapped_once_whatever_the_parts_of_a_file(
    numbers: StoredRows, monkeypatch: pytest.MonkeyPatch, part_rows: int, driver_rows: int
) -> None:
    monkeypatch.setattr(stored, "PART_ROWS", part_rows)
    schema = parse_schema("day date, number long")
    found = list_records(map_columns(numbers, ["day", "number"], lambda rows: rows, schema, driver_rows))
    assert sorted(found, key=itemgetter("number")) == [
        {"day": DAYS[number // 200], "number": number} for number in range(400)
    ]


@pytest.mark.parametrize("driver_rows", [0, 400], ids=["workers", "driver"])
def test_rows_behind_an_empty_batch_are_mapped_too(numbers: StoredRows, driver_rows: int) -> None:
    def keep_ends(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.or_(pc.less(batch["number"], 2), pc.greater(batch["number"], 397)))

    found = map_columns(numbers, ["number"], keep_ends, parse_schema("number long"), driver_rows)
    assert sorted(row["number"] for row in list_records(found)) == [0, 1, 398, 399]


def test_a_row_may_be_wanted_on_several_days(numbers: StoredRows) -> None:
    first = numbers.locate(["number"], lambda rows: pc.equal(rows["number"], 7))
    position = first.schema.get_field_index("day")
    again = first.set_column(position, "day", pa.array([DAYS[1]], pa.date32()))
    tasks = read_all(numbers, pa.concat_tables([first, again]), 40)
    assert sorted(portion for task in tasks for portion in task) == [(DAYS[0], [7]), (DAYS[1], [7])]


def test_neighbouring_rows_are_read_together(numbers: StoredRows) -> None:
    places = numbers.locate(["number"], all_rows)
    tasks = read_all(numbers, places.take(pa.array(reversed(range(400)))), 1_000_000)
    assert sorted(len(part) for task in tasks for _, part in task) == [10] * 4 + [30] * 12


def test_a_column_added_later_is_null_in_older_files_with_and_without_a_connector(
    numbers: StoredRows,
) -> None:
    later = replace(numbers, schema=parse_schema("day date, number long, note string"))
    for frame in (later.frame, later._frame_without_connector()):
        rows = frame.collect()
        assert {(row.day, row.note) for row in rows} == {(day, None) for day in DAYS}
        assert sorted(row.number for row in rows) == list(range(400))
