"""The overview of a day: what each classifier made of the same images, as values and as one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pipeline.daily.daily_report_page import render_template


@dataclass(frozen=True)
class Outcome:
    """What one classifier made of a day.

    Attributes:
        name: of the classifier.
        decisions: files by decision; none if it has not predicted the day.
        queued_count: images in its review queue.
        promise: how hard the day is, in a sentence; empty if it was not estimated.
        alarms: comparisons with its training set that raised an alarm.
        page: address of its report, as seen from the overview.
        review_url: address of its page to label images.
    """

    name: str
    decisions: Mapping[str, int]
    queued_count: int
    promise: str
    alarms: Sequence[str]
    page: str
    review_url: str

    @property
    def file_count(self) -> int:
        """Files that it answered, gave to review or rejected."""
        return sum(self.decisions.values())


def render_overview(day: date, outcomes: Sequence[Outcome]) -> str:
    """Renders the page of a day, one row per classifier."""
    file_count = max((each.file_count for each in outcomes), default=0)
    return render_template("overview.html.j2", day=day, outcomes=outcomes, file_count=file_count)
