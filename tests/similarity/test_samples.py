"""Samples: the same images give the same matrix, of limited size."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from pipeline.embed.reasons import TRUNCATED
from pipeline.similarity.samples import sample_days, sample_vectors, unpack_days
from pipeline.storage import picked_rows
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredFile, StoredRows

FRIDAY: Final = date(2026, 11, 20)
SATURDAY: Final = date(2026, 11, 21)
SUNDAY: Final = date(2026, 11, 22)


def test_a_sample_does_not_depend_on_the_order_and_has_unit_rows(spark: SparkSession) -> None:
    rows = [(f"{number:064x}", [float(number), 3.0]) for number in range(20)]
    schema = "image_id string, features array<float>"
    ids, vectors = sample_vectors(spark.createDataFrame(rows, schema), 7)
    again, same = sample_vectors(spark.createDataFrame(rows[::-1], schema).repartition(3), 7)
    assert ids == again
    assert len(set(ids)) == 7
    assert np.array_equal(vectors, same)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_images_without_features_are_ignored_and_zeros_stay_zeros(spark: SparkSession) -> None:
    rows = [("a" * 64, [0.0, 0.0]), ("b" * 64, None)]
    ids, vectors = sample_vectors(spark.createDataFrame(rows, "image_id string, features array<float>"), 7)
    assert ids == ["a" * 64]
    assert not vectors.any()


def test_no_images_give_no_rows(spark: SparkSession) -> None:
    ids, vectors = sample_vectors(spark.createDataFrame([], "image_id string, features array<float>"), 7)
    assert (ids, len(vectors)) == ([], 0)


@pytest.fixture
def days(spark: SparkSession, tmp_path: Path) -> StoredRows:
    """Two days in several files and row groups; a third has no features, some images those of another decoder."""
    schema = parse_schema(
        "day date, image_id string, features array<float>, quality_flags array<string>, error string,"
        " backbone string, decoder string"
    )
    files = []
    for number, (day, decoder) in enumerate(
        [(FRIDAY, "new"), (FRIDAY, "new"), (SATURDAY, "new"), (SATURDAY, "old"), (SUNDAY, "new")]
    ):
        path = f"day={day}/{number}.parquet"
        (tmp_path / path).parent.mkdir(exist_ok=True)
        rows = pa.table(
            {
                "image_id": [f"{number}{row:063}" for row in range(20)],
                "features": [None if day == SUNDAY else [float(row), 1.0] for row in range(20)],
                "quality_flags": [["dark"]] * 20,
                "error": [TRUNCATED if day == SUNDAY else None] * 20,
                "backbone": ["b"] * 20,
                "decoder": [decoder] * 20,
            },
            to_arrow_schema(StructType(schema.fields[1:])),
        )
        pq.write_table(rows, tmp_path / path, row_group_size=7)
        files.append(StoredFile(path, day, 20))
    return StoredRows(spark, str(tmp_path), schema, tuple(files))


@pytest.mark.parametrize("driver_rows", [pytest.param(2**16, id="driver"), pytest.param(0, id="workers")])
def test_the_sample_of_a_day_does_not_depend_on_other_days(
    days: StoredRows, driver_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picked_rows, "DRIVER_ROWS", driver_rows)
    found = sample_days(days, 7, "b", "new")
    assert {day: (len(rows), rows["day_count"].unique().to_pylist()) for day, rows in found.items()} == {
        str(FRIDAY): (7, [40]),
        str(SATURDAY): (7, [20]),
    }
    alone = replace(days, files=tuple(file for file in days.files if file.day == FRIDAY))
    assert sample_days(alone, 7, "b", "new")[str(FRIDAY)] == found[str(FRIDAY)]
    for row in found[str(FRIDAY)].to_pylist():
        assert (row["features"][0], row["quality_flags"]) == (int(row["image_id"][1:]), ["dark"])


def test_the_sample_is_the_same_of_stored_rows_and_of_a_table(days: StoredRows) -> None:
    stored, table = sample_days(days, 7, "b", "new"), sample_days(days.frame.toArrow(), 7, "b", "new")
    assert unpack_days(stored).keys() == unpack_days(table).keys()
    for day, (ids, vectors) in unpack_days(stored).items():
        assert unpack_days(table)[day][0] == ids
        assert np.array_equal(unpack_days(table)[day][1], vectors)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_days_without_features_of_the_backbone_have_no_sample(days: StoredRows) -> None:
    assert sample_days(days, 7, "another", "new") == {}
    assert sample_days(replace(days, files=()), 7, "b", "new") == {}
