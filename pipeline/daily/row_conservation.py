"""Row conservation: every file of a day becomes one row, with a prediction or a reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from pipeline.daily.predictions import REJECTED
from pipeline.reports.markdown import markdown_table
from pipeline.storage.stored_rows import StoredRows


@dataclass(frozen=True)
class DayOutcome:
    """Files and predictions of a day."""

    day: date
    file_count: int  # rows of `images`
    predicted_count: int  # rows of `predictions` with a label, `answered` or `review`
    rejected_count: int  # the other rows of `predictions`

    @property
    def is_conserved(self) -> bool:
        """Whether no file was lost or duplicated."""
        return self.file_count == self.predicted_count + self.rejected_count

    @property
    def rejected_share(self) -> float:
        """Share of the files that were rejected; 0 on a day without files."""
        return self.rejected_count / max(1, self.file_count)


def count_outcomes(images: StoredRows, predictions: StoredRows, days: Sequence[date]) -> list[DayOutcome]:
    """Counts files and predictions for each day; the driver reads one column of `predictions`."""
    files: Counter[date | None] = Counter()
    for file in images.files:
        files[file.day] += file.row_count
    decisions = predictions.locate(["decision"], lambda rows: pa.chunked_array([[True] * rows.num_rows], pa.bool_()))
    rows = Counter(zip(decisions["day"].to_pylist(), decisions["decision"].to_pylist(), strict=True))
    totals = Counter(decisions["day"].to_pylist())
    return [DayOutcome(day, files[day], totals[day] - rows[day, REJECTED], rows[day, REJECTED]) for day in days]


def outcome_table(outcomes: Sequence[DayOutcome]) -> str:
    """Returns the counts as a Markdown table."""
    rows = [[o.day, o.file_count, o.predicted_count, o.rejected_count, f"{o.rejected_share:.1%}"] for o in outcomes]
    return markdown_table(["day", "files", "predicted", "rejected", "rejected share"], rows)
