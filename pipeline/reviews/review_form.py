"""Review forms: a day's queue as a CSV file to fill in with a spreadsheet.

File names are untrusted, so no cell may become a formula, whether a spreadsheet splits lines at commas or semicolons.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from pipeline.reports.queries import Record, Rows, by_day, query

FORM_COLUMNS: Final = ("day", "image_id", "path", "predicted_label", "confidence", "reason", "classifier", "label")
FORM_ROWS: Final = 2_000  # at most, more than a person labels a day; the table `review_queue` has all
_ROWS: Final = """
    SELECT *, count(*) OVER (PARTITION BY day) AS day_count FROM review_queue
    QUALIFY row_number() OVER (PARTITION BY day ORDER BY audit_weight IS NULL, confidence, image_id) <= $rows
    ORDER BY day, audit_weight IS NULL, confidence, image_id
"""
_START: Final = r"(^|[;,\"\t\r\n])(\s*)"
_OPERATOR: Final = r"(?=['=+\-@\t\r＝＋－＠])"


@dataclass(frozen=True)
class ReviewForm:
    """The form of a day."""

    text: str  # contents of the file, with the byte order mark that Excel needs to detect UTF-8
    row_count: int
    left_out_count: int  # images of the queue that are not in the form


def make_forms(review_queue: Rows, days: Sequence[str]) -> dict[str, ReviewForm]:
    """Makes the form of each day: the audit first, then the least confident images, `FORM_ROWS` in total.

    A day without a queue gets an empty form, which replaces an earlier one.
    """
    chosen = by_day(query(_ROWS, {"rows": FORM_ROWS}, review_queue=review_queue))
    forms = {}
    for text in days:
        rows = chosen.get(date.fromisoformat(text), [])
        forms[text] = ReviewForm(write_form(rows), len(rows), rows[0]["day_count"] - len(rows) if rows else 0)
    return forms


def write_form(rows: Sequence[Record]) -> str:
    """Formats rows of the queue as CSV with an empty column `label`."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(FORM_COLUMNS)
    for row in rows:
        cells = {**row, "confidence": f"{row['confidence']:.3f}", "label": ""}
        writer.writerow([guard(str(cells[name] or "")) for name in FORM_COLUMNS])
    return f"\ufeff{file.getvalue()}"


def guard(cell: str) -> str:
    """Puts an apostrophe before every character with which a spreadsheet would begin a formula."""
    return re.sub(_START + _OPERATOR, r"\1\2'", cell)


def unguard(cell: str) -> str:
    """Reverts `guard`."""
    return re.sub(f"{_START}'{_OPERATOR}", r"\1\2", cell)
