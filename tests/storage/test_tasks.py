from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.images.image_files import OPENING_BYTES, TASK_BYTES
from pipeline.storage import task_sharing
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.task_sharing import TASKS_AT_ONCE, SharedRows, assign_tasks, find_keys


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([200_000] * 5000, id="thousands of photos"),
        pytest.param([0] * 3000, id="thousands of empty files"),
        pytest.param([100_000_000] * 7, id="few huge files"),
        pytest.param([100_000_000, 90_000_000, *[1000] * 4000, *[3_000_000] * 50], id="a mixture"),
    ],
)
def test_every_file_has_a_task_and_tasks_have_similar_weights(lengths: list[int]) -> None:
    weights = [length + OPENING_BYTES for length in lengths]
    tasks = assign_tasks(weights, TASK_BYTES)
    loads: Counter[int] = Counter()
    for weight, task in zip(weights, tasks, strict=True):
        loads[task] += weight
    assert len(tasks) == len(weights)
    assert sorted(loads) == list(range(max(tasks) + 1))
    assert max(loads.values()) <= max(TASK_BYTES, *weights) + max(weights)
    assert max(loads.values()) - min(loads.values()) <= max(weights)
    assert len(loads) >= TASKS_AT_ONCE


def test_there_are_never_more_tasks_than_pieces() -> None:
    for count in range(1, 12):
        assert sorted(set(assign_tasks([10] * count, TASK_BYTES))) == list(range(min(count, TASKS_AT_ONCE)))
    assert assign_tasks([2**40], TASK_BYTES) == [0]


def test_two_or_four_cores_get_the_same_number_of_tasks() -> None:
    for piece_count in (500, 5_000, 50_000):
        tasks = assign_tasks([TASK_BYTES // 100] * piece_count, TASK_BYTES)
        assert len(set(tasks)) % TASKS_AT_ONCE == 0


def test_the_number_of_small_files_in_a_task_is_bounded() -> None:
    per_task = Counter(assign_tasks([1 + OPENING_BYTES] * 20_000, TASK_BYTES))
    assert max(per_task.values()) <= TASK_BYTES / OPENING_BYTES


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_every_task_has_a_number_that_spark_sends_to_it(count: int) -> None:
    keys = find_keys(count)
    assert len(np.unique(keys)) == count


@pytest.mark.parametrize("sent_bytes", [pytest.param(2**19, id="sent"), pytest.param(0, id="shuffled")])
def test_each_task_gets_its_rows(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, sent_bytes: int) -> None:
    monkeypatch.setattr(task_sharing, "SENT_BYTES", sent_bytes)
    tasks = [3, 0, 2, 3, 1, 0, 4, 12, 11, 10, 9, 8, 7, 6, 5]
    rows = pa.table({"row": list(range(len(tasks))), "named": [{"a": [each]} for each in tasks]})
    shared = SharedRows(lambda: spark, rows, tasks)

    def list_in_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        listed = [row for batch in batches for row in batch["row"].to_pylist()]
        yield pa.RecordBatch.from_pydict({"rows": [sorted(listed)]})

    def list_in_pandas(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"rows": [sorted(row for batch in batches for row in batch["row"])]})

    expected = [[row for row, each in enumerate(tasks) if each == task] for task in range(13)]
    for found in (
        shared.mapInArrow(list_in_arrow, "rows array<long>"),
        shared.mapInPandas(list_in_pandas, "rows array<long>"),
    ):
        assert [row["rows"] for row in found.collect()] == expected


def test_arrow_types_are_those_of_deltas_schemas(spark: SparkSession) -> None:
    schema = parse_schema(
        "a long, b array<float>, c map<string,double>, d struct<e: date not null, f: timestamp>,"
        " g binary, h decimal(9,2)"
    )
    utc = pa.timestamp("us", tz="UTC")
    assert to_arrow_schema(schema) == pa.schema(
        {
            "a": pa.int64(),
            "b": pa.list_(pa.field("element", pa.float32())),
            "c": pa.map_(pa.string(), pa.float64()),
            "d": pa.struct([pa.field("e", pa.date32(), nullable=False), pa.field("f", utc)]),
            "g": pa.binary(),
            "h": pa.decimal128(9, 2),
        }
    )
    with pytest.raises(TypeError, match="a table cannot hold interval"):
        to_arrow_schema(parse_schema("a interval year to month"))
