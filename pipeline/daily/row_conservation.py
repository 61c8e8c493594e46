"""Conservation: whether every file of a day became one row, with an answer or a reason; no file is ever lost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from pipeline.daily.predictions import REJECTED
from pipeline.reports.markdown import markdown_table
from pipeline.storage.stored_rows import StoredRows


@dataclass(frozen=True)
class DayCount:
    """What became of the files of a day.

    Attributes:
        day: of the files.
        file_count: rows of `images`.
        answered_count: rows of `predictions` with an answer, be it up for review or not.
        rejected_count: rows of `predictions` with a reason.
    """

    day: date
    file_count: int
    answered_count: int
    rejected_count: int

    @property
    def is_whole(self) -> bool:
        """Whether no file was lost or doubled."""
        return self.file_count == self.answered_count + self.rejected_count

    @property
    def rejected_share(self) -> float:
        """Of the files; 0 of a day without any."""
        return self.rejected_count / max(1, self.file_count)


def count_days(images: StoredRows, predictions: StoredRows, days: Sequence[date]) -> list[DayCount]:
    """Counts files and answers of every day; the driver reads one column of `predictions`."""
    files: Counter[date | None] = Counter()
    for file in images.files:
        files[file.day] += file.row_count
    decisions = predictions.locate(["decision"], lambda rows: pa.chunked_array([[True] * rows.num_rows], pa.bool_()))
    rows = Counter(zip(decisions["day"].to_pylist(), decisions["decision"].to_pylist(), strict=True))
    totals = Counter(decisions["day"].to_pylist())
    return [DayCount(day, files[day], totals[day] - rows[day, REJECTED], rows[day, REJECTED]) for day in days]


def count_table(counts: Sequence[DayCount]) -> str:
    """The counts as a table in Markdown."""
    rows = [[str(c.day), c.file_count, c.answered_count, c.rejected_count, f"{c.rejected_share:.1%}"] for c in counts]
    return markdown_table(["day", "files", "answered", "rejected", "share"], rows)
