import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType
from pyarrow import fs
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession

from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import ROW_GROUP_BYTES, write_batches
from pipeline.storage.rows import Appended, rows_of
from resources.lake import commits
from resources.lake.appended_table import AppendedTable
from resources.lake.commits import (
    WHOLE_TABLE,
    LakeError,
    check_files,
    create_table,
    open_or_create,
    replace_rows,
    version_of,
)
from resources.lake.datasets import open_dataset
from resources.lake.lake import Lake

FRIDAY, SATURDAY, SUNDAY = "2026-11-20", "2026-11-21", "2026-11-22"
SCHEMA = "day date comment 'when it arrived', image_id string comment 'SHA-256 of the bytes'"
TIMEOUT_SECONDS = 60

MakeDay = Callable[..., DataFrame]
MakeRow = Callable[..., DataFrame]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def make_day(spark: SparkSession) -> MakeDay:
    def make(*ids: str, day: str = FRIDAY) -> DataFrame:
        return spark.createDataFrame([(date.fromisoformat(day), id_) for id_ in ids], SCHEMA)

    return make


@pytest.fixture(scope="session")
def make_row(spark: SparkSession) -> MakeRow:
    def make(*ids: str, backbone: str | None = "0012") -> DataFrame:
        return spark.createDataFrame([(id_, backbone) for id_ in ids], "image_id string, backbone string")

    return make


def open_cache(spark: SparkSession, lake: Lake, backbone: str = "0012") -> AppendedTable:
    schema = parse_schema("image_id string, backbone string")
    return AppendedTable(spark, lake.folder("cache"), schema, "backbone", backbone)


def append(lake: Lake, rows: DataFrame, backbone: str = "0012") -> Appended:
    return open_cache(rows.sparkSession, lake, backbone).append(rows_of(rows))


def ids_in(frame: DataFrame) -> list[str]:
    return sorted(row["image_id"] for row in frame.collect())


def ids_in_delta(lake: Lake, table: str = "images") -> list[str]:
    """Ids as a plain Delta reader sees them."""
    return sorted(DeltaTable(lake.folder(table)).to_pandas()["image_id"])


def waiting(frame: DataFrame, started: Path, go: Path) -> DataFrame:
    """The same rows, from tasks that signal their start and then wait for a file."""

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        started.touch()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not go.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(go)
            time.sleep(0.02)
        yield from batches

    return frame.coalesce(1).mapInArrow(wait, frame.schema)


def half_waiting(frame: DataFrame, started: Path, go: Path, fails: bool = False) -> DataFrame:
    """The rows in two tasks; that of `b` yields its row, waits for the file `go`, and may fail then."""

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            if "b" in batch["image_id"].to_pylist():
                started.touch()
                while not go.exists():
                    time.sleep(0.05)
                if fails:
                    raise ValueError("of this task")

    return frame.repartitionByRange(2, "image_id").mapInArrow(wait, frame.schema)


def is_complete(file: Path) -> bool:
    return file.read_bytes().endswith(b"PAR1") and file.stat().st_size > 4


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for(file: Path, work: Future) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not file.exists():
        assert not work.done() or work.result() is None, "the first writer ended before it was released"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_tables_are_read_without_calling_python_from_threads_that_outlive_it(lake: Lake, spark: SparkSession) -> None:
    """A process that ended while such a thread closed a file was aborted, one time in seven."""
    lake.write("numbers", spark.range(3), None)
    found = open_dataset(DeltaTable(lake.folder("numbers")), lake.folder("numbers"))
    assert isinstance(found.filesystem, fs.SubTreeFileSystem)
    assert not isinstance(found.filesystem.base_fs, fs.PyFileSystem)
    assert sorted(found.to_table()["id"].to_pylist()) == [0, 1, 2]


def test_a_day_stored_twice_is_replaced_and_other_days_stand(
    spark: SparkSession, lake: Lake, make_day: MakeDay
) -> None:
    assert lake.write("images", make_day("a", "b", "c"), [FRIDAY]) == {FRIDAY: 3}
    lake.write("images", make_day("z", day=SATURDAY), [SATURDAY])
    assert lake.write("images", make_day("d", "e"), [FRIDAY]) == {FRIDAY: 2}
    assert ids_in(lake.read(spark, "images", [FRIDAY]).frame) == ["d", "e"]
    assert ids_in(lake.read(spark, "images", [SATURDAY]).frame) == ["z"]
    assert ids_in(lake.read(spark, "images", [FRIDAY, SATURDAY]).frame) == ids_in_delta(lake) == ["d", "e", "z"]


def test_a_table_never_written_fails_rather_than_reads_empty(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"no table images in .*lake \(DAYLIGHT_LAKE\): materialize images first"):
        lake.read(spark, "images", [FRIDAY])


def test_a_day_never_stored_fails_rather_than_reads_empty(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    with pytest.raises(LakeError, match=f"images has no {SATURDAY} in .*: materialize images for it first"):
        lake.read(spark, "images", [FRIDAY, SATURDAY])


def test_an_empty_day_reads_as_no_rows_with_the_schema(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    assert lake.write("images", make_day(), [FRIDAY]) == {FRIDAY: 0}
    read = lake.read(spark, "images", [FRIDAY]).frame
    assert read.collect() == []
    assert read.schema.simpleString() == "struct<day:date,image_id:string>"
    assert ids_in_delta(lake) == []


def test_a_day_can_become_empty(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    lake.write("images", make_day("z", day=SATURDAY), [SATURDAY])
    assert lake.write("images", make_day(), [FRIDAY]) == {FRIDAY: 0}
    assert lake.read(spark, "images", [FRIDAY]).frame.collect() == []
    assert ids_in_delta(lake) == ["z"]


def test_a_table_without_days_is_replaced_whole(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    assert lake.write("training_images", make_day("a", "b").drop("day"), None) == {None: 2}
    assert lake.write("training_images", make_day("c").drop("day"), None) == {None: 1}
    assert ids_in(lake.read(spark, "training_images", None).frame) == ids_in_delta(lake, "training_images") == ["c"]


def test_a_table_without_days_can_be_empty(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    lake.write("training_images", make_day().drop("day"), None)
    read = lake.read(spark, "training_images", None).frame
    assert (read.columns, read.collect()) == (["image_id"], [])


def test_several_days_are_written_at_once_and_those_without_rows_count_as_stored(
    spark: SparkSession, lake: Lake, make_day: MakeDay
) -> None:
    frame = make_day("a", "b").union(make_day("z", day=SUNDAY)).repartition(2)
    assert lake.write("images", frame, [FRIDAY, SATURDAY, SUNDAY]) == {FRIDAY: 2, SATURDAY: 0, SUNDAY: 1}
    assert ids_in(lake.read(spark, "images", [FRIDAY]).frame) == ["a", "b"]
    assert ids_in(lake.read(spark, "images", [SATURDAY]).frame) == []
    assert ids_in(lake.read(spark, "images", [SUNDAY]).frame) == ["z"]
    assert ids_in_delta(lake) == ["a", "b", "z"]


def test_rows_of_a_day_outside_the_run_are_refused(lake: Lake, make_day: MakeDay) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    with pytest.raises(LakeError, match=rf"images: rows of \['{SATURDAY}'\] in a run of \['{FRIDAY}'\]"):
        lake.write("images", make_day("b").union(make_day("z", day=SATURDAY)), [FRIDAY])
    assert ids_in_delta(lake) == ["a"]


def test_rows_without_a_day_are_refused(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"images: rows of \['None'\]"):
        lake.write("images", spark.createDataFrame([(None, "a")], SCHEMA), [FRIDAY])
    with pytest.raises(LakeError, match=f"no {FRIDAY}"):
        lake.read(spark, "images", [FRIDAY])


@pytest.mark.parametrize("before", [None, (), ("old",)], ids=["never stored", "empty", "with rows"])
def test_a_writer_that_started_before_another_committed_the_day_is_refused(
    spark: SparkSession, lake: Lake, make_day: MakeDay, tmp_path: Path, before: tuple[str, ...] | None
) -> None:
    if before is not None:
        lake.write("images", make_day(*before), [FRIDAY])
    slow = waiting(make_day("slow"), tmp_path / "started", tmp_path / "go")
    with ThreadPoolExecutor(1) as pool:
        slow_write = pool.submit(lake.write, "images", slow, [FRIDAY])
        try:
            wait_for(tmp_path / "started", slow_write)
            lake.write("images", make_day("quick"), [FRIDAY])
        finally:
            (tmp_path / "go").touch()
        with pytest.raises(LakeError, match=f"another run wrote {FRIDAY} of images meanwhile, and its rows are kept"):
            slow_write.result(TIMEOUT_SECONDS)
    assert ids_in(lake.read(spark, "images", [FRIDAY]).frame) == ids_in_delta(lake) == ["quick"]


@pytest.mark.parametrize("row_count", [0, 1], ids=["empty", "with rows"])
@pytest.mark.parametrize("key", [FRIDAY, WHOLE_TABLE])
def test_exactly_one_of_several_concurrent_writers_of_a_day_wins(
    lake: Lake, make_day: MakeDay, key: str, row_count: int
) -> None:
    frame = make_day(*"a"[:row_count])
    folder, column = lake.folder("images"), None if key == WHOLE_TABLE else "day"
    frame = frame if column else frame.drop("day")
    before = version_of(open_or_create(folder, frame.schema, column), key)
    writers = [rows_of(frame).write_to(str(folder), frame.schema, column) for _ in range(3)]
    ready = threading.Barrier(len(writers))

    def commit(files: list) -> str:
        ready.wait(TIMEOUT_SECONDS)
        try:
            replace_rows(folder, files, {key: before})
        except LakeError as error:
            return str(error)
        return "won"

    with ThreadPoolExecutor(len(writers)) as pool:
        outcomes = sorted(pool.map(commit, writers))
    assert outcomes == [f"another run wrote {key} of images meanwhile, and its rows are kept"] * 2 + ["won"]
    assert len(ids_in_delta(lake)) == row_count


def test_days_of_one_run_are_stored_together_or_not_at_all(lake: Lake, make_day: MakeDay) -> None:
    folder = lake.folder("images")
    both = make_day("friday").union(make_day("saturday", day=SATURDAY))
    assert lake.write("images", both, [FRIDAY, SATURDAY]) == {FRIDAY: 1, SATURDAY: 1}
    assert DeltaTable(folder).version() == 1, "a version for the table, and one for both days"
    stored = ids_in_delta(lake)
    files = rows_of(both).write_to(folder, both.schema, "day")
    with pytest.raises(LakeError, match=f"another run wrote {SATURDAY} of images meanwhile"):
        replace_rows(folder, files, {FRIDAY: 1, SATURDAY: 0})
    assert ids_in_delta(lake) == stored
    lake.write("images", both.where("false"), [SATURDAY])
    assert ids_in_delta(lake) == ["friday"], "the other day stays"


def test_writers_of_different_days_all_succeed(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    days = [f"2026-11-{number}" for number in range(20, 24)]
    ready = threading.Barrier(len(days))

    def write(day: str) -> dict[str | None, int]:
        ready.wait(TIMEOUT_SECONDS)
        return lake.write("images", make_day(day, day=day), [day])

    with ThreadPoolExecutor(len(days)) as pool:
        counts = list(pool.map(write, days))
    assert counts == [{day: 1} for day in days]
    assert ids_in(lake.read(spark, "images", days).frame) == ids_in_delta(lake) == days


def test_a_failed_task_leaves_the_table_unchanged(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    frame = make_day("b", "c").coalesce(1)

    def fail_at_the_end(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches
        raise RuntimeError("the power went out")

    for day in (FRIDAY, SATURDAY):
        with pytest.raises(PythonException, match="the power went out"):
            lake.write("images", frame.mapInArrow(fail_at_the_end, frame.schema), [day])
    assert ids_in(lake.read(spark, "images", [FRIDAY]).frame) == ids_in_delta(lake) == ["a"]
    with pytest.raises(LakeError, match=f"no {SATURDAY}"):
        lake.read(spark, "images", [SATURDAY])


@pytest.mark.parametrize(
    ("columns", "named"),
    [("day date, image_id long", "long"), ("day date, image_id string, more int", "more"), ("day date", "image_id")],
)
def test_a_table_with_other_columns_is_refused(
    spark: SparkSession, lake: Lake, make_day: MakeDay, columns: str, named: str
) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    with pytest.raises(LakeError, match=f"images has the columns .*{named}.* to be written"):
        lake.write("images", spark.createDataFrame([], columns), [FRIDAY])
    assert ids_in_delta(lake) == ["a"]


def test_a_table_of_an_earlier_version_gets_the_columns_added_since_and_no_others(
    spark: SparkSession, lake: Lake
) -> None:
    former = "day date, image_id string, reason string"
    today = f"{former}, similarity double, audit_weight double, classifier string"
    old, new = (date(2026, 11, 20), "a", "uncertain"), (date(2026, 11, 21), "b", "audit", 0.5, 2.0, "v1")
    lake.write("review_queue", spark.createDataFrame([old], former), [FRIDAY])
    known = lake.read_known(spark, "review_queue", parse_schema(today), None).frame
    assert [tuple(row) for row in known.collect()] == [(*old, None, None, None)], "before it is written again"
    with pytest.raises(LakeError, match=r"review_queue has the columns .*more.* to be written"):
        lake.write("review_queue", spark.createDataFrame([], f"{today}, more int"), [SATURDAY])
    lake.write("review_queue", spark.createDataFrame([new], today), [SATURDAY])
    stored = lake.read(spark, "review_queue", [FRIDAY, SATURDAY]).frame.select("day", "image_id", "audit_weight")
    assert sorted(tuple(row) for row in stored.collect()) == [(*old[:2], None), (*new[:2], 2.0)]
    foreign = DeltaTable(lake.folder("review_queue")).to_pyarrow_table().to_pylist()
    assert {row["image_id"]: row["classifier"] for row in foreign} == {"a": None, "b": "v1"}


def test_runs_that_create_a_table_at_once_all_open_it(tmp_path: Path) -> None:
    schema = Schema([Field("image_id", PrimitiveType("string"))])
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            folder = str(tmp_path / str(number))
            opened = list(pool.map(lambda _, folder=folder: create_table(folder, schema, None).schema(), range(8)))
            assert opened == [schema] * 8


def test_columns_that_cannot_be_added_are_an_error_after_a_few_attempts(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "MAX_COMMITS", 3)
    lake.write("training_images", spark.createDataFrame([("a",)], "image_id string"), None)
    taken = Path(lake.folder("training_images")) / "_delta_log" / f"{2:020}.json"
    taken.mkdir()  # every attempt finds the next version taken
    rows = spark.createDataFrame([("b", "shop")], "image_id string, group string")
    with pytest.raises(LakeError, match=r"group of training_images could not be committed in 3 attempts"):
        lake.write("training_images", rows, None)
    taken.rmdir()
    lake.write("training_images", rows, None)
    assert ids_in_delta(lake, "training_images") == ["b"]


def test_read_known_skips_days_that_were_never_written(spark: SparkSession, lake: Lake, make_day: MakeDay) -> None:
    schema = parse_schema(SCHEMA)
    assert lake.read_known(spark, "images", schema, [FRIDAY]).frame.collect() == []
    lake.write("images", make_day("a"), [FRIDAY])
    assert ids_in(lake.read_known(spark, "images", schema, [FRIDAY, SATURDAY]).frame) == ["a"]
    assert lake.read_known(spark, "images", schema, []).frame.collect() == []


def test_a_form_is_replaced_atomically(lake: Lake) -> None:
    for text in ("\ufeffold\r\n", "\ufeffnew\r\n"):
        path = Path(lake.write_form(FRIDAY, text))
        assert path.read_bytes() == text.encode()
    assert [each.name for each in path.parent.iterdir()] == [f"{FRIDAY}.csv"], "no draft is left"


@pytest.mark.parametrize("change", [b"", b"more"], ids=["cut", "longer"])
def test_files_of_a_size_that_differs_from_the_reported_one_are_refused(
    lake: Lake, make_day: MakeDay, change: bytes
) -> None:
    frame, folder = make_day("a"), lake.folder("images")
    delta = open_or_create(folder, frame.schema, "day")
    files = rows_of(frame).write_to(str(folder), frame.schema, "day")
    check_files(folder, files, delta)
    (file,) = files
    path = Path(folder) / file.path
    path.write_bytes(path.read_bytes() + change if change else path.read_bytes()[:-1])
    with pytest.raises(LakeError, match=rf"{file.path} has \d+ bytes, but its task wrote {file.size}"):
        check_files(folder, files, delta)


def test_files_with_other_columns_than_the_table_are_refused(
    spark: SparkSession, lake: Lake, make_day: MakeDay
) -> None:
    folder = lake.folder("images")
    delta = open_or_create(folder, make_day().schema, "day")
    other = spark.createDataFrame([(date(2026, 11, 20), 1)], "day date, image_id long")
    with pytest.raises(LakeError, match=r"has the columns \{'image_id': .*long.*\}, but the table has"):
        check_files(folder, rows_of(other).write_to(str(folder), other.schema, "day"), delta)


def test_column_comments_are_stored_in_the_log_and_in_the_schema_that_is_read(
    spark: SparkSession, lake: Lake, make_day: MakeDay
) -> None:
    lake.write("images", make_day("a"), [FRIDAY])
    expected = {"day": "when it arrived", "image_id": "SHA-256 of the bytes"}
    read = lake.read(spark, "images", [FRIDAY]).frame.schema
    assert {field.name: field.metadata.get("comment") for field in read} == expected
    first = Path(lake.folder("images")) / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    (metadata,) = [action["metaData"] for action in actions if "metaData" in action]
    fields = json.loads(metadata["schemaString"])["fields"]
    assert {field["name"]: field["metadata"]["comment"] for field in fields} == expected


def test_every_type_of_column_is_read_as_it_was_written(spark: SparkSession, lake: Lake) -> None:
    schema = """day date, features array<float>, probabilities map<string, double>, content binary,
        length long, width int, modified_at timestamp, path string"""
    moment = datetime(2026, 11, 20, 23, 59, 59, 999999, tzinfo=UTC)
    vector = np.array([0.1, -0.0, 1e-38, 3e38], np.float32)
    full = (date(2026, 11, 20), vector.tolist(), {"a|b": 0.25, "ü": 0.75}, b"\xff\x00", 2**40, 7, moment, "ä/ö.jpg")
    empty = (date(2026, 11, 20), [], {}, b"", 0, 0, moment, "")
    null = (date(2026, 11, 20), *[None] * 7)
    frame = spark.createDataFrame([full, empty, null], schema)
    lake.write("images", frame, [FRIDAY])
    assert sorted(map(str, lake.read(spark, "images", [FRIDAY]).frame.collect())) == sorted(map(str, frame.collect()))
    stored = DeltaTable(lake.folder("images")).to_pyarrow_table().to_pylist()
    (foreign,) = [row for row in stored if row["width"] == 7]
    assert (foreign["day"], foreign["modified_at"], foreign["content"]) == (full[0], moment, b"\xff\x00")
    assert np.array(foreign["features"], np.float32).tobytes() == vector.tobytes()


def test_image_bytes_are_stored_uncompressed_and_everything_else_is_compressed(spark: SparkSession, lake: Lake) -> None:
    schema = "content binary, path string, features array<float>, probabilities map<string, double>"
    vector = [number / 7 for number in range(1000)]
    lake.write("images", spark.createDataFrame([(b"x", "a", vector, {"a": 1.0})], schema), None)
    (file,) = Path(lake.folder("images")).rglob("*.parquet")
    group = pq.ParquetFile(file).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    compressed = {name for name, column in columns.items() if column.compression == "ZSTD"}
    assert columns.keys() - compressed == {"content"}
    assert columns["content"].compression == "UNCOMPRESSED"
    assert "BYTE_STREAM_SPLIT" in columns["features.list.element"].encodings


def test_vectors_with_few_distinct_values_take_a_third_of_the_bytes(spark: SparkSession, lake: Lake) -> None:
    """Like features of an int8 graph: 256 distinct values, half of the entries zero."""
    random = np.random.default_rng(0)
    few = (random.integers(0, 256, (400, 500)) * random.integers(0, 2, (400, 500))).astype(np.float32) / 7
    many = random.normal(size=(400, 500)).astype(np.float32)
    sizes = {}
    for name, vectors in (("few", few), ("many", many)):
        lake.write(name, spark.createDataFrame([(row.tolist(),) for row in vectors], "features array<float>"), None)
        sizes[name] = sum(file.stat().st_size for file in Path(lake.folder(name)).rglob("*.parquet"))
        stored = np.array([row["features"] for row in lake.read(spark, name, None).frame.collect()], np.float32)
        assert sorted(map(bytes, stored)) == sorted(map(bytes, vectors))
    assert sizes["few"] < sizes["many"] / 3


@pytest.mark.parametrize(("row_bytes", "row_count"), [(2_000, 8_000), (1_500_000, 10)])
def test_row_groups_are_bounded_in_bytes_for_rows_of_any_size(
    spark: SparkSession, lake: Lake, row_bytes: int, row_count: int
) -> None:
    rows = spark.range(0, row_count, 1, 1).selectExpr(f"cast(repeat('x', {row_bytes}) as binary) as content")
    lake.write("images", rows, None)
    (file,) = Path(lake.folder("images")).rglob("*.parquet")
    metadata = pq.ParquetFile(file).metadata
    sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    assert metadata.num_rows == row_count
    assert max(sizes) <= ROW_GROUP_BYTES * 1.01  # Parquet adds four bytes per value
    assert sum(sizes) / len(sizes) >= ROW_GROUP_BYTES / 4, "groups this small would make reading slow"


def test_appended_rows_are_added_to_the_existing_ones_and_read_by_value_and_by_file(
    spark: SparkSession, lake: Lake, make_row: MakeRow
) -> None:
    first = append(lake, make_row("a", "b"))
    second = append(lake, make_row("c"))
    append(lake, make_row("z", backbone="1e5"), "1e5")
    assert (first.row_count, second.row_count) == (2, 1)
    stored = open_cache(spark, lake).read()
    rows = stored.frame
    assert (ids_in(rows), {row["backbone"] for row in rows.collect()}) == (["a", "b", "c"], {"0012"})
    assert {*stored.files} == {*first.files, *second.files}
    assert ids_in(replace(stored, files=second.files).frame) == ["c"]
    assert ids_in_delta(lake, "cache") == ["a", "b", "c", "z"]


def test_a_table_without_appends_reads_as_no_rows(spark: SparkSession, lake: Lake, make_row: MakeRow) -> None:
    rows = open_cache(spark, lake).read().frame
    assert (rows.columns, rows.collect()) == (["image_id", "backbone"], [])
    assert open_cache(spark, lake).list_appended() == []
    append(lake, make_row("a"))
    assert open_cache(spark, lake, "1e5").read().files == ()
    assert open_cache(spark, lake, "1e5").list_appended() == []


def test_appending_no_rows_commits_nothing(lake: Lake, make_row: MakeRow) -> None:
    append(lake, make_row("a"))
    before = DeltaTable(lake.folder("cache")).version()
    assert append(lake, make_row()).row_count == 0
    assert DeltaTable(lake.folder("cache")).version() == before


def test_the_log_records_the_cost_of_each_append(spark: SparkSession, lake: Lake, make_row: MakeRow) -> None:
    appended = [append(lake, make_row(*ids)) for ids in ("ab", "c")]
    append(lake, make_row("z", backbone="1e5"), "1e5")
    logged = open_cache(spark, lake).list_appended()
    assert [(each.row_count, each.seconds) for each in logged] == [(1, appended[1].seconds), (2, appended[0].seconds)]


def test_rows_of_another_value_are_not_appended(lake: Lake, make_row: MakeRow) -> None:
    for other in ("1e5", None):
        with pytest.raises(LakeError, match=rf"cache: rows of \['{other}'\] in a run of \['0012'\]"):
            append(lake, make_row("a").union(make_row("z", backbone=other)))
    assert ids_in_delta(lake, "cache") == []


def test_rows_of_other_columns_are_not_appended(spark: SparkSession, lake: Lake, make_row: MakeRow) -> None:
    append(lake, make_row("a"))
    other = spark.createDataFrame([(1, "0012")], "image_id long, backbone string")
    with pytest.raises(LakeError, match=r"cache has the columns .* to be written"):
        append(lake, other)
    assert ids_in_delta(lake, "cache") == ["a"]


def test_complete_files_are_committed_while_other_tasks_run(
    spark: SparkSession, lake: Lake, make_row: MakeRow, tmp_path: Path
) -> None:
    """One task ends at once; the other has begun its file and waits."""
    started, go = tmp_path / "started", tmp_path / "go"
    table = replace(open_cache(spark, lake), commit_seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(table.append, rows_of(half_waiting(make_row("a", "b"), started, go)))
        wait_for(started, work)
        wait_until(lambda: table.read().files)
        assert ids_in(table.read().frame) == ["a"]
        assert not work.done()
        go.touch()
        appended = work.result(TIMEOUT_SECONDS)
    assert ids_in(table.read().frame) == ["a", "b"]
    assert (len(appended.files), appended.row_count) == (2, 2)
    assert {*table.read().files} == {*appended.files}
    logged = table.list_appended()
    assert [run.row_count for run in logged] == [1, 1]
    assert sum(run.seconds for run in logged) == pytest.approx(appended.seconds)


def test_complete_files_of_a_failed_job_stay(
    spark: SparkSession, lake: Lake, make_row: MakeRow, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    table = open_cache(spark, lake)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(table.append, rows_of(half_waiting(make_row("a", "b"), started, go, fails=True)))
        wait_for(started, work)
        wait_until(lambda: any(is_complete(file) for file in Path(table.folder).rglob("*.parquet")))
        assert table.read().files == ()
        go.touch()
        with pytest.raises(PythonException, match="of this task"):
            work.result(TIMEOUT_SECONDS)
    assert ids_in(table.read().frame) == ["a"]


def test_a_long_task_completes_a_file_from_time_to_time(tmp_path: Path) -> None:
    def go_slowly() -> Iterator[pa.RecordBatch]:
        for id_ in "abcd":
            time.sleep(0.2)
            yield pa.RecordBatch.from_pylist([{"image_id": id_, "backbone": "0012"}])

    schema = pa.schema([("image_id", pa.string()), ("backbone", pa.string())])
    written = write_batches(go_slowly(), schema, str(tmp_path), "backbone", CpuTimer(), "run", max_seconds=0.3)
    files = [pq.read_table(tmp_path / file["path"])["image_id"].to_pylist() for file in written]
    assert files == [["a", "b"], ["c", "d"]]
    assert {file.parent for file in tmp_path.rglob("*.parquet")} == {tmp_path / "backbone=0012" / "run"}


def test_concurrent_appends_all_succeed(lake: Lake, make_row: MakeRow) -> None:
    ids = ["a", "b", "c", "d"]
    ready = threading.Barrier(len(ids))

    def append_one(id_: str) -> int:
        ready.wait(TIMEOUT_SECONDS)
        return append(lake, make_row(id_)).row_count

    with ThreadPoolExecutor(len(ids)) as pool:
        assert list(pool.map(append_one, ids)) == [1] * len(ids)
    assert ids_in_delta(lake, "cache") == ids


@pytest.mark.parametrize("name", ["my lake", "Süden & Co", "[a]{b,c}*?"])
def test_a_lake_folder_may_have_any_name(
    spark: SparkSession, make_day: MakeDay, make_row: MakeRow, tmp_path: Path, name: str
) -> None:
    lake = Lake(root=str(tmp_path / name))
    lake.write("images", make_day("a"), [FRIDAY])
    assert ids_in(lake.read(spark, "images", [FRIDAY]).frame) == ["a"]
    append(lake, make_row("b"))
    cached = open_cache(spark, lake).read()
    assert ids_in(cached.frame) == ["b"]
    assert cached.locate(["image_id"], lambda rows: pc.is_valid(rows["image_id"]))["image_id"].to_pylist() == ["b"]


def test_a_table_of_an_earlier_version_gains_missing_columns_and_loses_none(spark: SparkSession, lake: Lake) -> None:
    table = "training_images"
    lake.write(table, spark.createDataFrame([("a",)], "image_id string"), None)
    lake.write(table, spark.createDataFrame([("b", "shop")], "image_id string, group string comment 'of it'"), None)
    read = lake.read(spark, table, None).frame
    assert [tuple(row) for row in read.collect()] == [("b", "shop")]
    assert read.schema["group"].metadata == {"comment": "of it"}
    for schema in ("image_id string", "image_id string, group int", "image_id string, group string, other string"):
        row = ("c", 1 if "int" in schema else "x", "x")[: schema.count(",") + 1]
        with pytest.raises(LakeError, match="to be written"):
            lake.write(table, spark.createDataFrame([row], schema), None)
    assert ids_in_delta(lake, table) == ["b"]


def test_a_table_that_was_never_written_is_not_found(spark: SparkSession, lake: Lake) -> None:
    assert lake.find(spark, "twins") is None
    lake.write("twins", spark.createDataFrame([("a",)], "image_id string"), None)
    found = lake.find(spark, "twins")
    assert found is not None
    assert ids_in(found.frame) == ["a"]
