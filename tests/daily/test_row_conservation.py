"""Row conservation detects lost and duplicated files, and days with many rejections."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from pipeline.daily.row_conservation import DayOutcome, count_outcomes, outcome_table
from pipeline.images.sidecar_files import SIDECAR
from pipeline.storage.stored_rows import StoredFile, StoredRows

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path):
    def make(name: str, decisions: dict[date, list[str]]) -> StoredRows:
        files = []
        for day, values in decisions.items():
            path = f"{name}-{day}.parquet"
            errors = [SIDECAR if value == SIDECAR else None for value in values]
            decisions = ["rejected" if value == SIDECAR else value for value in values]
            columns = {"decision": pa.array(decisions, pa.string()), "error": pa.array(errors, pa.string())}
            pq.write_table(pa.table(columns), tmp_path / path)
            files.append(StoredFile(path, day, len(values)))
        return StoredRows(spark, str(tmp_path), StructType.fromDDL("decision string, error string"), tuple(files))

    return make


def test_files_are_counted_by_day_and_outcome(store) -> None:
    images = store("images", {FRIDAY: [""] * 4, SATURDAY: [""]})
    predictions = store("predictions", {FRIDAY: ["answered", "review", "rejected", "answered"], SATURDAY: ["rejected"]})
    friday, saturday, sunday = count_outcomes(images, predictions, [FRIDAY, SATURDAY, date(2026, 11, 22)])
    assert friday == DayOutcome(FRIDAY, 4, 3, 1)
    assert saturday == DayOutcome(SATURDAY, 1, 0, 1)
    assert (friday.is_conserved, friday.rejected_share, saturday.rejected_share) == (True, 0.25, 1.0)
    assert (sunday.file_count, sunday.is_conserved, sunday.rejected_share) == (0, True, 0.0), (
        "an empty day is conserved"
    )
    assert "| 2026-11-20 | 4 | 0 | 3 | 1 | 25.0% |" in outcome_table([friday])


def test_sidecar_files_are_conserved_and_not_in_the_rejected_share(store) -> None:
    images = store("images", {FRIDAY: [""] * 7, SATURDAY: [""]})
    decisions = {FRIDAY: ["answered", "rejected", *[SIDECAR] * 5], SATURDAY: [SIDECAR]}
    friday, saturday = count_outcomes(images, store("predictions", decisions), [FRIDAY, SATURDAY])
    assert friday == DayOutcome(FRIDAY, 7, 1, 1, sidecar_count=5)
    assert (friday.is_conserved, friday.rejected_share, friday.photo_count) == (True, 0.5, 2)
    assert (saturday.is_conserved, saturday.rejected_share, saturday.photo_count) == (True, 0.0, 0)
    assert "| 2026-11-20 | 7 | 5 | 1 | 1 | 50.0% |" in outcome_table([friday])


@pytest.mark.parametrize("answers", [["answered"], ["answered", "rejected", "answered"]])
def test_a_day_with_a_lost_or_duplicated_file_is_not_conserved(store, answers: list[str]) -> None:
    (count,) = count_outcomes(store("images", {FRIDAY: [""] * 2}), store("predictions", {FRIDAY: answers}), [FRIDAY])
    assert not count.is_conserved
