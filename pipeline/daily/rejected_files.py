"""Rejected files of a day, but for sidecar files: counts by reason, and a sheet of their names.

Their bytes are never decoded again, since they may crash the decoder.
"""

from collections.abc import Sequence
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.contact_sheet import NO_THUMBNAIL, Tile, draw_contact_sheet
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.report import Report
from pipeline.storage.counting import Day, by_day, count_by_day

SHEET_SIZE: Final = 24


def describe_rejected(predictions: DataFrame) -> dict[Day, Report]:
    """Reports reasons and file names for each day with rejected files."""
    rejected = predictions.where(F.col("error") != SIDECAR)
    counts = count_by_day(rejected, "error")
    if not counts:
        return {}
    rank = F.row_number().over(Window.partitionBy("day", "error").orderBy("path"))
    first = rejected.select("day", "path", "error", rank.alias("rank")).where(F.col("rank") <= SHEET_SIZE)
    named = by_day(first.collect())
    return {day: _report([(row["error"], row["count"]) for row in rows], named[day]) for day, rows in counts.items()}


def _report(counts: Sequence[tuple[str, int]], named: Sequence[Row]) -> Report:
    """Shows the same number of names for each reason, as far as there are any."""
    max_names = -(-SHEET_SIZE // len(counts))
    reasons = [reason for reason, _ in counts]
    shown = (row for row in named if row["rank"] <= max_names)
    chosen = sorted(shown, key=lambda row: (reasons.index(row["error"]), row["rank"]))
    captions = [f"{row['path'].rpartition('/')[2]}\n{row['error']}" for row in chosen[:SHEET_SIZE]]
    tiles = [Tile(NO_THUMBNAIL, caption, DOUBTFUL) for caption in captions]
    return Report(
        tables={"rejected": markdown_table(["reason", "files"], counts)},
        images={"rejected_files": draw_contact_sheet(tiles)},
    )
