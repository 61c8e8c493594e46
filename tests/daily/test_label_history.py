"""Plots over time fit the page, and untrusted labels neither break nor change them."""

import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from pipeline.daily.label_history import DAYS, MAX_TICKS, describe_history, list_days, plot_history
from pipeline.evaluation.plots import draw_accuracies
from pipeline.reports.figures import to_jpeg
from resources.lake.lake import Lake

LAST = date(2026, 11, 22)
MAX_WIDTH = 480
HOSTILE = ["$\\frac{1}{0}$", "_hidden", "x" * 300, "名前 🍎", "a\x1b[2J\nb", "<svg>", "", "%s", "plain", "two", "three"]


def open_image(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


def test_a_plot_ends_with_the_day_of_its_page() -> None:
    days = list_days(LAST)
    assert (days[0], days[-1], len(days)) == ("2026-10-24", "2026-11-22", DAYS)


@pytest.mark.parametrize("labels", [["red"], ["red", "green"], HOSTILE], ids=["one", "two", "hostile"])
def test_a_plot_fits_the_page_with_any_labels(labels: list[str]) -> None:
    days = list_days(LAST)
    counts = {(day, label): 1 + place for day in days[::2] for place, label in enumerate(labels)}
    assert open_image(to_jpeg(plot_history(days, {**counts, (days[0], None): 9}))).width <= MAX_WIDTH


@pytest.mark.parametrize("largest", [3, 250, 251, 600, 10_000, 10**7])
def test_a_label_of_one_file_among_many_can_be_plotted(largest: int) -> None:
    days = list_days(LAST)
    counts = {(days[-1], f"rare {number}"): 1 for number in range(3)} | {(days[-1], "usual"): largest}
    assert open_image(to_jpeg(plot_history(days, counts))).width <= MAX_WIDTH


def test_ticks_are_few_and_round() -> None:
    steps = []
    for largest in (1, 6, 7, 13, 61, 599, 12_345):
        (axes,) = plot_history(["2026-11-22"], {("2026-11-22", "red"): largest}).axes
        ticks = [tick for tick in axes.get_yticks() if 0 < tick <= axes.get_ylim()[1]]
        assert 1 <= len(ticks) <= MAX_TICKS
        steps.append(int(ticks[0]))
    assert steps == [1, 2, 2, 5, 20, 200, 5_000]


def test_a_backfill_draws_the_newest_day_alone() -> None:
    rows = pa.table({"day": [date(2026, 11, day) for day in range(1, 23)]})
    reports = describe_history(lambda days: {(day, "red"): 1 for day in days})(rows)
    assert list(reports) == [LAST]


def test_a_day_of_rejected_files_has_no_plot() -> None:
    rows = pa.table({"day": [LAST]})
    assert describe_history(lambda days: {(days[-1], None): 3})(rows) == {}
    assert len(describe_history(lambda days: {(days[-1], "red"): 3})(rows)[LAST].images) == 1


def test_rows_are_counted_by_day_and_label_without_spark(spark: SparkSession, tmp_path: Path) -> None:
    lake, schema = Lake(root=str(tmp_path)), "day date, predicted_label string"
    rows = [(LAST, "red"), (LAST, "red"), (LAST, None), (date(2026, 11, 21), "blue"), (date(2026, 1, 1), "old")]
    days = [str(day) for day in sorted({day for day, _ in rows})]
    lake.write("predictions", spark.createDataFrame(rows, schema), days)
    counts = lake.count_by_day("predictions", "predicted_label", list_days(LAST))
    assert counts == {("2026-11-22", "red"): 2, ("2026-11-22", None): 1, ("2026-11-21", "blue"): 1}


def test_accuracies_of_few_and_of_many_trainings_fit_the_page() -> None:
    for count in (1, 2, 60):
        reports = [(f"{number:016x}", {"accuracy": 0.8, "holdout_count": 100}) for number in range(count)]
        assert open_image(draw_accuracies(reports)).width <= MAX_WIDTH
