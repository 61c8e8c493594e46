"""Rejected files of a day, but for sidecar files: counts by reason, and a sheet of their names.

Their bytes are never decoded again, since they may crash the decoder.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.contact_sheet import NO_THUMBNAIL, Tile, draw_contact_sheet
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Report
from pipeline.storage.counting import Day

SHEET_SIZE: Final = 24
_NAMED: Final = """
    SELECT day, path, error, row_number() OVER (same ORDER BY path) AS rank, count(*) OVER same AS count
    FROM predictions WHERE error <> $sidecar
    WINDOW same AS (PARTITION BY day, error) QUALIFY rank <= $names ORDER BY day, error, rank
"""


def describe_rejected(predictions: Rows) -> dict[Day, Report]:
    """Reports reasons and file names for each day with rejected files."""
    named = query(_NAMED, {"sidecar": SIDECAR, "names": SHEET_SIZE}, predictions=predictions)
    return {day: _report(rows) for day, rows in by_day(named).items()}


def _report(named: Sequence[Record]) -> Report:
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
