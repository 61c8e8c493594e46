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
from pipeline.storage.counting import Day, by_day

SHEET_SIZE: Final = 24


def describe_rejected(predictions: DataFrame) -> dict[Day, Report]:
    """Reports reasons and file names for each day with rejected files."""
    rejected = predictions.where(F.col("error") != SIDECAR)
    same = Window.partitionBy("day", "error")
    rank, count = F.row_number().over(same.orderBy("path")), F.count("*").over(same)
    named = rejected.select("day", "path", "error", rank.alias("rank"), count.alias("count"))
    return {day: _report(rows) for day, rows in by_day(named.where(F.col("rank") <= SHEET_SIZE).collect()).items()}


def _report(named: Sequence[Row]) -> Report:
    """Shows the same number of names for each reason, as far as there are any; the most frequent reason first."""
    found = {row["error"]: row["count"] for row in named}
    reasons = sorted(found, key=lambda reason: (-found[reason], reason))
    max_names = -(-SHEET_SIZE // len(reasons))
    shown = (row for row in named if row["rank"] <= max_names)
    chosen = sorted(shown, key=lambda row: (reasons.index(row["error"]), row["rank"]))
    captions = [f"{row['path'].rpartition('/')[2]}\n{row['error']}" for row in chosen[:SHEET_SIZE]]
    tiles = [Tile(NO_THUMBNAIL, caption, DOUBTFUL) for caption in captions]
    return Report(
        tables={"rejected": markdown_table(["reason", "files"], [(each, found[each]) for each in reasons])},
        images={"rejected_files": draw_contact_sheet(tiles)},
    )
