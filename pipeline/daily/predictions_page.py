"""The page of a day's predictions: counts by decision and label, what is promised, and a contact sheet."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.daily.earlier_images import EARLIER_DAYS
from pipeline.daily.predictions import ANSWERED, REJECTED, REVIEW, SHEET_SIZE
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.contact_sheet import ImageRow, Tile, draw_contact_sheet, draw_tiles_by_day
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL, GOOD
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Number, Report
from pipeline.storage.counting import Day
from pipeline.storage.stored_rows import StoredRows

SHOWN_LABELS: Final = 100  # most frequent ones on a page
_COUNTS: Final = """
    SELECT day, if(error = $sidecar, 'sidecar', decision) AS outcome, predicted_label, count(*) AS count,
        count(near_duplicate_of) AS near_duplicate_count, fsum(confidence) AS confidence,
        any_value(classifier) AS classifier, any_value(day_accuracy) AS day_accuracy
    FROM predictions GROUP BY day, outcome, predicted_label ORDER BY ALL
"""
_TILES: Final = """
    SELECT * FROM (
        SELECT day, image_id, predicted_label, any_value(confidence) AS confidence, any_value(decision) AS decision
        FROM predictions WHERE predicted_label IS NOT NULL GROUP BY day, image_id, predicted_label
        QUALIFY row_number() OVER (PARTITION BY day ORDER BY image_id) <= $tiles
    ) ORDER BY predicted_label, confidence DESC, image_id
"""
"""A sample of the predicted images of each day, by digest."""


def describe_predictions(images: StoredRows, limits: Limits = DEFAULT_LIMITS) -> Callable[[Rows], dict[Day, Report]]:
    """Reports counts by decision (sidecar files apart) and label, and a contact sheet of `images`, for each day."""

    def describe(predictions: Rows) -> dict[Day, Report]:
        chosen = by_day(query(_TILES, {"tiles": SHEET_SIZE}, predictions=predictions))
        tiles = draw_tiles_by_day(images, chosen, caption, limits)
        counted = query(_COUNTS, {"sidecar": SIDECAR}, predictions=predictions)
        return {day: _report(rows, tiles.get(day, [])) for day, rows in by_day(counted).items()}

    return describe


def _report(counted: Sequence[Record], tiles: Sequence[Tile]) -> Report:
    """Reports a day, from its rows counted by outcome and predicted label."""
    counts, labels, sums = Counter[str](), Counter[str](), Counter[str]()
    for row in counted:
        counts[row["outcome"]] += row["count"]
        if row["predicted_label"] is not None:
            labels[row["predicted_label"]] += row["count"]
            sums[row["outcome"]] += row["confidence"]
    near_duplicate_count = sum(row["near_duplicate_count"] for row in counted)
    numbers: dict[str, Number] = {f"{each}_count": counts[each] for each in (ANSWERED, REVIEW, REJECTED, "sidecar")}
    if predicted_count := counts[ANSWERED] + counts[REVIEW]:
        numbers["coverage"] = counts[ANSWERED] / predicted_count
        numbers["mean_confidence"] = sums.total() / predicted_count
        if counts[ANSWERED]:
            numbers["expected_precision"] = sums[ANSWERED] / counts[ANSWERED]
    numbers["near_duplicate_count"] = near_duplicate_count
    promise = _describe_promise(counted[0]["day_accuracy"], numbers.get("coverage", 0))
    texts = {"classifier": counted[0]["classifier"], "promise": promise}
    if near_duplicate_count:
        texts["near_duplicates"] = f"{describe_earlier(near_duplicate_count)} (near_duplicate_of)"
    shown = sorted(labels.items(), key=lambda each: (-each[1], each[0]))[:SHOWN_LABELS]
    table = markdown_table(["predicted label", "files"], shown)
    return Report(
        numbers,
        texts,
        tables={"labels": table} if labels else {},
        images={"contact_sheet": draw_contact_sheet(tiles)} if tiles else {},
    )


def describe_earlier(count: int) -> str:
    """Says how many files of a day show images that were sent before."""
    files = "1 file is an image" if count == 1 else f"{count:,} files are images"
    return f"{files} of this day or the {EARLIER_DAYS} days before in another encoding or size"


def _describe_promise(accuracy: float | None, coverage: Number) -> str:
    if accuracy is None:
        return f"How hard the day is was not estimated; {coverage:.0%} are answered"
    return (
        f"About {accuracy:.0%} would be right if all were answered; {coverage:.0%} are answered, the rest waits for a"
        " person"
    )


def caption(row: ImageRow) -> tuple[str, str]:
    """Returns text and colour of a predicted image's caption on a contact sheet."""
    colour = GOOD if "decision" in row and row["decision"] == ANSWERED else DOUBTFUL
    return f"{row['predicted_label']}\n{row['confidence']:.0%}", colour
