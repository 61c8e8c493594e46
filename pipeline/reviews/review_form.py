"""Review forms: the queue of a day as a CSV file that a person opens in a spreadsheet, and fills in.

Names of files come from strangers: no cell of a form is a formula, in a spreadsheet that splits lines at commas or in
one that splits them at semicolons. How a form comes back is `reviews.py`.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

FORM_COLUMNS: Final = ("day", "image_id", "path", "predicted_label", "confidence", "reason", "classifier", "label")
FORM_ROWS: Final = 2_000
"""Of one day, at most: more than a person answers. The table has them all."""

_START: Final = r"(^|[;,\"\t\r\n])(\s*)"
_SIGN: Final = r"(?=['=+\-@\t\r＝＋－＠])"


@dataclass(frozen=True)
class ReviewForm:
    """The form of a day.

    Attributes:
        text: of the file; its first character is the mark by which Excel knows UTF-8.
        row_count: of the pictures in it.
        left_out_count: of the pictures of the queue that are not.
    """

    text: str
    row_count: int
    left_out_count: int


def make_forms(review_queue: DataFrame, days: Sequence[str]) -> dict[str, ReviewForm]:
    """Makes the form of every day, the audit first and then the least certain; collects `FORM_ROWS` of each.

    A day without a queue has a form without rows, which takes the place of a former one.
    """
    day = Window.partitionBy("day")
    rank = F.row_number().over(day.orderBy(F.col("audit_weight").isNull(), "confidence", "image_id"))
    numbered = review_queue.withColumns({"rank": rank, "day_count": F.count("*").over(day)})
    chosen = numbered.where(F.col("rank") <= FORM_ROWS).orderBy("day", "rank").collect()
    by_day: dict[str, list[Row]] = {day: [] for day in days}
    for row in chosen:
        by_day[str(row["day"])].append(row)
    return {
        day: ReviewForm(write_form(rows), len(rows), rows[0]["day_count"] - len(rows) if rows else 0)
        for day, rows in by_day.items()
    }


def write_form(rows: Sequence[Row]) -> str:
    """Writes rows of the queue as CSV, with an empty `label` in each."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(FORM_COLUMNS)
    for row in rows:
        told = {**row.asDict(), "confidence": f"{row['confidence']:.3f}", "label": ""}
        writer.writerow([guard(str(told[name] or "")) for name in FORM_COLUMNS])
    return f"\ufeff{file.getvalue()}"


def guard(cell: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before every sign that could begin one."""
    return re.sub(_START + _SIGN, r"\1\2'", cell)


def unguard(cell: str) -> str:
    """The text that `guard` was given."""
    return re.sub(f"{_START}'{_SIGN}", r"\1\2", cell)
