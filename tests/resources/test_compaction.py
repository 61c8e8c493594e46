"""Compaction moves rows to fewer files, and neither a reader nor a writer notices."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema
from pyspark.sql import DataFrame, Row, SparkSession

from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.parquet_writer import write_batches
from pipeline.storage.rows import Appended, rows_of
from resources.lake import compaction
from resources.lake.appended_table import AppendedTable
from resources.lake.commits import LakeError, append_rows, create_table, is_purged, replace_rows, version_of
from resources.lake.compaction import compact_table
from resources.lake.lake import Lake
from resources.lake.purge import purge_days

DAYS = ("2026-11-20", "2026-11-21")
COLUMNS = "image_id string, features array<float>, width int, backbone string"

ROUNDS = 25

Interfere = Callable[[Callable[[], object]], None]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def frame(spark: SparkSession) -> Callable[..., DataFrame]:
    """Rows of four files a day, with the ids of images and a number."""

    def make(*days: str, number: int = 0) -> DataFrame:
        rows = [(date.fromisoformat(day), f"{day} {row}", number) for day in days for row in range(40)]
        return spark.createDataFrame(rows, "day date, image_id string, number int").repartition(4)

    return make


@pytest.fixture
def interfere(monkeypatch: pytest.MonkeyPatch) -> Interfere:
    """Lets something happen once files are rewritten and before they are committed."""

    def prepare(happen: Callable[[], object]) -> None:
        rewrite = compaction._rewrite

        def rewrite_late(*arguments: object) -> compaction.Swap:
            swap = rewrite(*arguments)  # type: ignore[arg-type]
            monkeypatch.setattr(compaction, "_rewrite", rewrite)
            happen()
            return swap

        monkeypatch.setattr(compaction, "_rewrite", rewrite_late)

    return prepare


def rows(lake: Lake, spark: SparkSession, *days: str) -> list[str]:
    return sorted(map(str, lake.read(spark, "numbers", days).frame.collect()))


def count_files(lake: Lake, table: str = "numbers") -> int:
    return len(DeltaTable(lake.folder(table)).file_uris())


def test_a_compacted_day_has_the_same_rows_in_one_file(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame]
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    expected = rows(lake, spark, *DAYS)
    files = count_files(lake)
    assert compact_table(lake.folder("numbers")) == files - 2 > 0
    assert count_files(lake) == 2
    assert rows(lake, spark, *DAYS) == expected
    assert compact_table(lake.folder("numbers")) == 0, "there is nothing left to do"


def test_a_run_reads_the_rows_that_it_located_before(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame]
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    located = lake.read(spark, "numbers", DAYS)
    compact_table(lake.folder("numbers"))
    assert located.frame.count() == 80
    DeltaTable(lake.folder("numbers")).vacuum(168, dry_run=False, full=True)
    assert located.frame.count() == 80


def test_a_run_that_began_before_replaces_its_day(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    write = Lake.write

    def compact_meanwhile(*arguments: object) -> list[object]:
        compact_table(lake.folder("numbers"))
        return written

    lazy = rows_of(frame(DAYS[0], number=1))
    written = lazy.write_to(lake.folder("numbers"), lazy.schema, "day")
    monkeypatch.setattr(type(lazy), "write_to", compact_meanwhile, raising=False)
    write(lake, "numbers", type(lazy)(lazy.frame, lazy.schema, compact_meanwhile), [DAYS[0]])
    assert [number.rpartition("number=")[2] for number in rows(lake, spark, DAYS[0])] == ["1)"] * 40
    assert len(rows(lake, spark, *DAYS)) == 80


def test_a_day_that_another_run_replaces_meanwhile_stays_as_that_run_wrote_it(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame], interfere: Interfere
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    interfere(lambda: lake.write("numbers", frame(DAYS[0], number=1), [DAYS[0]]))
    compact_table(lake.folder("numbers"))
    assert [number.rpartition("number=")[2] for number in rows(lake, spark, DAYS[0])] == ["1)"] * 40
    assert len(rows(lake, spark, DAYS[1])) == 40
    assert len(lake.read(spark, "numbers", [DAYS[1]]).files) == 1, "the other day is compacted"


def test_of_two_compactions_one_wins(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame], interfere: Interfere
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    expected, won = rows(lake, spark, *DAYS), []
    interfere(lambda: won.append(compact_table(lake.folder("numbers"))))
    assert compact_table(lake.folder("numbers")) == 0 < won[0]
    assert rows(lake, spark, *DAYS) == expected


def test_compactions_and_replacements_at_the_very_same_version_are_refused(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other commit happens after the version was checked; delta-rs has to refuse ours."""
    lake.write("numbers", frame(*DAYS), DAYS)
    late = iter([lambda: lake.write("numbers", frame(DAYS[0], number=1), [DAYS[0]])])
    commit = DeltaTable.create_write_transaction

    def commit_late(self: DeltaTable, *arguments: object, **options: object) -> None:
        for happen in late:
            happen()
        commit(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit_late)
    compact_table(lake.folder("numbers"))
    assert [number.rpartition("number=")[2] for number in rows(lake, spark, DAYS[0])] == ["1)"] * 40
    assert len(rows(lake, spark, *DAYS)) == 80


def test_a_replacement_is_refused_at_the_version_before_a_compaction_and_tried_again(
    lake: Lake, spark: SparkSession, frame: Callable[..., DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write("numbers", frame(*DAYS), DAYS)
    late = iter([lambda: compact_table(lake.folder("numbers"))])
    commit = DeltaTable.create_write_transaction

    def commit_late(self: DeltaTable, *arguments: object, **options: object) -> None:
        for happen in late:
            assert happen() > 0
        commit(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit_late)
    lake.write("numbers", frame(DAYS[0], number=1), [DAYS[0]])
    assert [number.rpartition("number=")[2] for number in rows(lake, spark, DAYS[0])] == ["1)"] * 40
    assert len(rows(lake, spark, *DAYS)) == 80


def test_versions_and_marks_of_days_stay(lake: Lake, frame: Callable[..., DataFrame], spark: SparkSession) -> None:
    content = frame(DAYS[0]).selectExpr("day", "image_id", "image_id path", "encode(image_id, 'utf-8') content")
    lake.write("images", content, [DAYS[0]])
    purge_days(lake, DAYS[1])
    lake.write("images", content.selectExpr(f"date '{DAYS[1]}' day", "image_id", "path", "content"), [DAYS[1]])
    compact_table(lake.folder("images"))
    delta = DeltaTable(lake.folder("images"))
    assert [version_of(delta, day) for day in DAYS] == [2, 1]
    assert [is_purged(delta, day) for day in DAYS] == [True, False]


@pytest.fixture
def cache(lake: Lake, spark: SparkSession) -> AppendedTable:
    schema = spark.createDataFrame([], COLUMNS).schema
    return AppendedTable(spark, lake.folder("cache"), schema, "backbone", "0012")


def append(cache: AppendedTable, *names: str) -> None:
    made = [(sha256(name.encode()).hexdigest(), [0.5, 1.5], len(name), cache.value) for name in names]
    cache.append(rows_of(cache.spark.createDataFrame(made, COLUMNS).coalesce(1)))


def test_appends_are_merged_in_their_order_and_nothing_is_lost(cache: AppendedTable) -> None:
    for name in "abc":
        append(cache, name, name * 2)
    expected = sorted(map(str, cache.read().frame.collect()))
    in_order = [row["image_id"] for name in "abc" for row in [{"image_id": sha256(name.encode()).hexdigest()}]]
    assert compact_table(cache.folder) == 2
    (file,) = cache.read().files
    assert pq.read_table(f"{cache.folder}/{file.path}", partitioning=None)["image_id"].to_pylist()[::2] == in_order
    assert sorted(map(str, cache.read().frame.collect())) == expected
    assert [commit.row_count for commit in cache.list_appended()] == [2, 2, 2]


def test_an_append_meanwhile_stays(cache: AppendedTable, interfere: Interfere) -> None:
    append(cache, "a")
    append(cache, "b")
    interfere(lambda: append(cache, "c"))
    assert compact_table(cache.folder) == 1
    assert (len(cache.read().files), cache.read().frame.count()) == (2, 3)


def test_files_of_an_earlier_version_gain_the_columns_that_they_lack(
    lake: Lake, cache: AppendedTable, spark: SparkSession
) -> None:
    append(cache, "a")
    append(cache, "b")
    file = Path(cache.folder, cache.read().files[0].path)
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns("width"), file)
    compact_table(cache.folder)
    assert sorted(map(str, (row["width"] for row in cache.read().frame.collect()))) == ["1", "None"]


def test_rows_that_a_disk_lost_stop_the_compaction(cache: AppendedTable) -> None:
    append(cache, "a", "b")
    append(cache, "c")
    path = max(Path(cache.folder).rglob("*.parquet"), key=lambda path: pq.read_metadata(path).num_rows)
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 1), path)
    with pytest.raises(LakeError, match="3 rows of 0012 were read as 2"):
        compact_table(cache.folder)


def test_large_files_stay(cache: AppendedTable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        append(cache, name)
    sizes = pa.table(DeltaTable(cache.folder).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    monkeypatch.setattr(compaction, "MAX_BYTES", 2 * max(sizes))
    assert compact_table(cache.folder) == 2
    monkeypatch.setattr(compaction, "SMALL_BYTES", min(sizes))
    assert compact_table(cache.folder) == 0


def test_tables_without_days_and_no_tables_are_left_alone(lake: Lake, frame: Callable[..., DataFrame]) -> None:
    lake.write("numbers", frame(DAYS[0]).drop("day"), None)
    assert compact_table(lake.folder("numbers")) == 0
    shutil.rmtree(lake.folder("numbers"))
    assert compact_table(lake.folder("numbers")) == 0


def test_readers_and_writers_at_full_speed_lose_and_double_nothing(tmp_path: Path) -> None:
    """Two writers replace days, one appends, two compact and one reads, at once and without Spark."""
    schema = pa.schema({"day": pa.date32(), "number": pa.int64()})
    folder = str(tmp_path / "numbers")
    create_table(folder, Schema.from_arrow(schema), "day")
    days = [date(2026, 11, number) for number in (1, 2, 3)]

    def write_files(day: date, number: int) -> list[Row]:
        rows = pa.table({"day": [day] * 6, "number": range(6 * number, 6 * number + 6)}, schema)
        parts = [rows.slice(begin, 2).to_batches() for begin in (0, 2, 4)]
        return [Row(**file) for part in parts for file in write_batches(part, schema, folder, "day", CpuTimer())]

    def replace_days(day: date) -> None:
        for number in range(ROUNDS):
            before = version_of(DeltaTable(folder), str(day))
            replace_rows(folder, write_files(day, number), {str(day): before})

    def append_days() -> None:
        for number in range(ROUNDS):
            append_rows(folder, write_files(days[2], number), {"day": str(days[2])}, Appended((), 6, 0.0, {}))

    def compact() -> int:
        return sum(compact_table(folder) for _ in range(ROUNDS))

    def read() -> None:
        appended_count = 0
        while not ended.is_set():
            rows = DeltaTable(folder).to_pyarrow_table().to_pylist()
            numbers = {day: sorted(row["number"] for row in rows if row["day"] == day) for day in days}
            for day in days[:2]:
                first = numbers[day][0] if numbers[day] else 0
                assert numbers[day] in ([], list(range(first, first + 6))), "a day of one run"
            assert numbers[days[2]] == list(range(len(numbers[days[2]])))
            assert len(numbers[days[2]]) >= appended_count
            appended_count = len(numbers[days[2]])

    ended = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        reader = pool.submit(read)
        compactions = [pool.submit(compact) for _ in range(2)]
        writers = [pool.submit(replace_days, day) for day in days[:2]] + [pool.submit(append_days)]
        for work in writers + compactions:
            work.result(600)
        ended.set()
        reader.result(600)
    assert sum(work.result() for work in compactions) > 0
    compact_table(folder)
    rows = DeltaTable(folder).to_pyarrow_table().to_pylist()
    assert len(DeltaTable(folder).file_uris()) == 3
    assert sorted(row["number"] for row in rows if row["day"] == days[2]) == list(range(6 * ROUNDS))
    last = list(range(6 * ROUNDS - 6, 6 * ROUNDS))
    assert [sorted(row["number"] for row in rows if row["day"] == day) for day in days[:2]] == [last, last]
