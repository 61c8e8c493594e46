"""Plots over time: they fit the page, and labels of strangers neither stop nor change them."""

import io
from datetime import date
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from pipeline.daily.label_history import DAYS, MOST_TICKS, choose_step, describe_history, draw_history, list_days
from pipeline.evaluation.plots import draw_accuracies
from resources.lake.lake import Lake

LAST = date(2026, 11, 22)
MAX_WIDTH = 480
HOSTILE = ["$\\frac{1}{0}$", "_hidden", "x" * 300, "名前 🍎", "a\x1b[2J\nb", "<svg>", "", "%s", "plain", "two", "three"]


def open_picture(jpeg: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(jpeg))
    picture.load()
    return picture


def test_the_days_of_a_plot_end_with_the_day_of_the_page() -> None:
    days = list_days(LAST)
    assert (days[0], days[-1], len(days)) == ("2026-10-24", "2026-11-22", DAYS)


@pytest.mark.parametrize("labels", [["red"], ["red", "green"], HOSTILE], ids=["one", "two", "hostile"])
def test_a_plot_fits_the_page_whatever_labels_are_called(labels: list[str]) -> None:
    days = list_days(LAST)
    counts = {(day, label): 1 + place for day in days[::2] for place, label in enumerate(labels)}
    assert open_picture(draw_history(days, {**counts, (days[0], None): 9})).width <= MAX_WIDTH


@pytest.mark.parametrize("most", [3, 250, 251, 600, 10_000, 10**7])
def test_a_label_of_one_file_stops_no_plot_however_large_the_others_are(most: int) -> None:
    days = list_days(LAST)
    counts = {(days[-1], f"rare {number}"): 1 for number in range(3)} | {(days[-1], "usual"): most}
    assert open_picture(draw_history(days, counts)).width <= MAX_WIDTH


def test_ticks_are_few_and_round() -> None:
    assert [choose_step(most) for most in (1, 6, 7, 13, 61, 599, 12_345)] == [1, 1, 2, 5, 20, 100, 5_000]
    assert all(2 <= -(-most // choose_step(most)) <= MOST_TICKS for most in range(2, 5_000))


def test_rejected_files_alone_make_no_plot(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(LAST,)], "day date")
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
        assert open_picture(draw_accuracies(reports)).width <= MAX_WIDTH
