"""Row conservation: every file of a day becomes one row, with a prediction or a reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.daily.predictions import REJECTED
from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.markdown import markdown_table
from pipeline.storage.stored_rows import StoredRows


@dataclass(frozen=True)
class DayOutcome:
    """Files and predictions of a day."""

    day: date
    file_count: int  # rows of `images`
    predicted_count: int  # rows of `predictions` with a label, `answered` or `review`
    rejected_count: int  # the other rows of `predictions`, but for sidecar files
    sidecar_count: int = 0  # rows of `predictions` about sidecar files

    @property
    def is_conserved(self) -> bool:
        """Whether no file was lost or duplicated."""
        return self.file_count == self.predicted_count + self.rejected_count + self.sidecar_count

    @property
    def photo_count(self) -> int:
        """Files that were meant to be images: all but sidecar files."""
        return self.file_count - self.sidecar_count

    @property
    def rejected_share(self) -> float:
        """Share of the files that were rejected, sidecar files aside; 0 on a day without files."""
        return self.rejected_count / max(1, self.photo_count)


def count_outcomes(images: StoredRows, predictions: StoredRows, days: Sequence[date]) -> list[DayOutcome]:
    """Counts files and predictions for each day; the driver reads two columns of `predictions`."""
    files: Counter[date | None] = Counter()
    for file in images.files:
        files[file.day] += file.row_count
    columns = ["decision", "error"]
    found = predictions.locate(columns, lambda rows: pa.chunked_array([[True] * rows.num_rows], pa.bool_()))
    found_days = found["day"].to_pylist()
    rejected = pc.equal(found["decision"], REJECTED).to_pylist()
    sidecars = pc.fill_null(pc.equal(found["error"], SIDECAR), False).to_pylist()
    rows = Counter(zip(found_days, rejected, sidecars, strict=True))
    return [
        DayOutcome(day, files[day], rows[day, False, False], rows[day, True, False], rows[day, True, True])
        for day in days
    ]


def outcome_table(outcomes: Sequence[DayOutcome]) -> str:
    """Returns the counts as a Markdown table."""
    rows = [
        [o.day, o.file_count, o.sidecar_count, o.predicted_count, o.rejected_count, f"{o.rejected_share:.1%}"]
        for o in outcomes
    ]
    return markdown_table(["day", "files", "sidecar files", "predicted", "rejected", "rejected share"], rows)
