"""Rejected files: how many of a day were rejected for which reason, and which, as a sheet of their names.

Their bytes are never opened again: one of them may have crashed its decoder.
"""

from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contact_sheet import DOUBTFUL, Tile, draw_contact_sheet
from pipeline.report import Report, count_by, markdown_table

SHEET_SIZE: Final = 24


def describe_rejected(predictions: DataFrame) -> Report:
    """A table of the reasons, and a sheet of names, as many of each reason as can be; nothing where all is well."""
    rejected = predictions.where("error is not null")
    counts = [[row["error"], row["count"]] for row in count_by(rejected, "error")]
    if not counts:
        return Report()
    each = -(-SHEET_SIZE // len(counts))
    rank = F.row_number().over(Window.partitionBy("error").orderBy("path"))
    first = rejected.select("path", "error", rank.alias("rank")).where(F.col("rank") <= each).collect()
    reasons = [reason for reason, _ in counts]
    chosen = sorted(first, key=lambda row: (reasons.index(row["error"]), row["rank"]))
    tiles = [Tile(b"", f"{row['path'].rpartition('/')[2]}\n{row['error']}", DOUBTFUL) for row in chosen[:SHEET_SIZE]]
    return Report(
        tables={"rejected": markdown_table(["reason", "files"], counts)},
        pictures={"rejected_files": draw_contact_sheet(tiles)},
    )
