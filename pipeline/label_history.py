"""The labels of the last weeks as stacked bars, a bar for each day, for the page of a day's predictions."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import chain
from typing import Final

import matplotlib.dates as mdates
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font
from pyspark.sql import DataFrame

from pipeline.report import Day, Report, harmless

DAYS: Final = 30
WIDTH: Final = 470
"""Pixels that the value column of an asset's page shows; wider pictures are cut off."""

HEIGHT: Final = 300
DPI: Final = 96
PLACE: Final = (0.12, 0.1, 0.59, 0.85)
"""Of the axes; to let matplotlib find it would draw every plot twice, and a backfill has hundreds."""
SHOWN_LABELS: Final = 8
COLOURS: Final = ("#15803d", "#2563eb", "#b45309", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#475569")
OTHERS: Final = "#cbd5e1"
NAME_LENGTH: Final = 18

Counts = Mapping[tuple[str, str | None], int]
"""Files by day, as YYYY-MM-DD, and predicted label; None where they have none."""


def describe_history(count: Callable[[Sequence[str]], Counts]) -> Callable[[DataFrame], dict[Day, Report]]:
    """A plot of the answers of every day and of the days before it.

    Args:
        count: from days to what is stored of them; called once the days are stored.
    """

    def describe(predictions: DataFrame) -> dict[Day, Report]:
        days = {row["day"]: list_days(row["day"]) for row in predictions.select("day").distinct().collect()}
        counts = count(sorted(set(chain.from_iterable(days.values()))))
        plots = {day: draw_history(shown, _of(shown, counts)) for day, shown in days.items() if _of(shown, counts)}
        return {day: Report(pictures={f"labels_of_{DAYS}_days": plot}) for day, plot in plots.items()}

    return describe


def _of(days: Sequence[str], counts: Counts) -> Counts:
    """The answers of these days."""
    shown = set(days)
    return {key: count for key, count in counts.items() if key[0] in shown and key[1] is not None}


def list_days(last: date) -> list[str]:
    """The last `DAYS` days up to one, in order."""
    return [str(last - timedelta(ago)) for ago in range(DAYS - 1, -1, -1)]


def draw_history(days: Sequence[str], counts: Counts) -> bytes:
    """Draws the answers by label, the most frequent at the bottom, as a JPEG of 470 by 300 pixels.

    Args:
        days: of the bars, in order; one without files has none.
        counts: of these days.
    """
    totals: Counter[str] = Counter()
    for (_, label), number in counts.items():
        if label is not None:
            totals[label] += number
    shown = [label for label, _ in sorted(totals.items(), key=lambda each: (-each[1], each[0]))[:SHOWN_LABELS]]
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    axes = figure.add_axes(PLACE)
    places, bottoms = [mdates.date2num(date.fromisoformat(day)) for day in days], [0] * len(days)
    for label, colour in [*zip(shown, COLOURS, strict=False), *([(None, OTHERS)] if len(totals) > len(shown) else [])]:
        heights = [_height(counts, day, label, shown) for day in days]
        boxes = [_box(*sides) for sides in zip(places, bottoms, heights, strict=True)]
        axes.add_collection(PolyCollection(boxes, facecolor=colour, label=_name(label)))  # a patch for each is slow
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axes.xaxis.set_major_locator(mdates.AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%d %b"))
    axes.set_xlim(places[0] - 0.7, places[-1] + 0.7)
    axes.set_ylim(0, 1.05 * max(1, *bottoms))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_ylabel("files with an answer", fontsize=8)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], names[::-1], loc="upper left", bbox_to_anchor=(0.71, 0.98), fontsize=7.5, frameon=False
    )
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 92})
    return file.getvalue()


def _box(place: float, bottom: float, height: float) -> list[tuple[float, float]]:
    left, right = place - 0.425, place + 0.425
    return [(left, bottom), (right, bottom), (right, bottom + height), (left, bottom + height)]


def _height(counts: Counts, day: str, label: str | None, shown: Sequence[str]) -> int:
    if label is not None:
        return counts.get((day, label), 0)
    return sum(
        number for (each, name), number in counts.items() if each == day and name is not None and name not in shown
    )


def _name(label: str | None) -> str:
    """A name in a legend: what matplotlib would take for a formula, or leave out, is written as it is."""
    if label is None:
        return "others"
    text = harmless(label)
    text = text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH - 1]}…"
    drawn = "".join(sign if _font().get_char_index(ord(sign)) else "?" for sign in text)
    return " " + drawn.replace("$", r"\$")


@cache
def _font() -> FT2Font:
    return get_font(findfont("DejaVu Sans"))  # which comes with matplotlib, and warns of every sign that it lacks
