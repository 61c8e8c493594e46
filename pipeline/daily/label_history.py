"""Predicted labels of the last weeks as stacked bars, one bar a day, for the page of the newest day of a run."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

from pipeline.reports.figures import FONT_SIZE, new_figure, style_axes, to_jpeg
from pipeline.reports.palette import FAINT, SERIES
from pipeline.reports.queries import Rows, query
from pipeline.reports.report import Report
from pipeline.storage.counting import Day

DAYS: Final = 30
DAYS_PER_DATE: Final = 7
MAX_TICKS: Final = 6
MAX_NAME_LENGTH: Final = 20
OTHERS: Final = "others"

Counts = Mapping[tuple[str, str | None], int]
"""Files by day, as YYYY-MM-DD, and predicted label; the label of a rejected file is None."""


def describe_history(count: Callable[[Sequence[str]], Counts]) -> Callable[[Rows], dict[Day, Report]]:
    """Plots the labels of the newest day and of the days before it; a backfill draws one plot, not one a day."""

    def describe(predictions: Rows) -> dict[Day, Report]:
        newest = query("SELECT max(day) AS day FROM predictions", predictions=predictions)[0]["day"]
        days = list_days(newest) if newest else []
        counts = {key: number for key, number in count(days).items() if key[1] is not None}
        if not counts:
            return {}
        return {newest: Report(images={f"labels_of_{DAYS}_days": to_jpeg(plot_history(days, counts))})}

    return describe


def list_days(last: date) -> list[str]:
    """Lists the last `DAYS` days up to `last`, in order."""
    return [str(last - timedelta(ago)) for ago in range(DAYS - 1, -1, -1)]


def plot_history(days: Sequence[str], counts: Counts) -> Figure:
    """Plots the files of each day by label, the most frequent label at the bottom; rare labels share a colour."""
    totals: Counter[str] = Counter()
    for (_, label), number in counts.items():
        if label is not None:
            totals[label] += number
    order = sorted(totals, key=lambda label: (-totals[label], label))
    series = [(label, [label], colour) for label, colour in zip(order, SERIES, strict=False)]
    if rare := order[len(SERIES) :]:
        series.append((OTHERS, rare, FAINT))
    figure = new_figure(300)
    axes = figure.subplots()
    tops, edges = [0] * len(days), [place - 0.5 for place in range(len(days) + 1)]
    for place, (name, labels, colour) in enumerate(series):
        bottoms = tops
        tops = [top + sum(counts.get((day, label), 0) for label in labels) for day, top in zip(days, tops, strict=True)]
        axes.stairs(tops, edges, baseline=bottoms, fill=True, color=colour)  # one shape, far faster than 30 bars
        text, height = _printable(name), 1 - 0.07 * (len(series) - place)
        axes.text(1.02, height, text, color=colour, fontsize=FONT_SIZE, transform=axes.transAxes, parse_math=False)
    axes.vlines(edges, 0, max(tops), colors="white", linewidth=1)  # days must not touch
    dated = range((len(days) - 1) % DAYS_PER_DATE, len(days), DAYS_PER_DATE)
    axes.set_xticks(dated, [f"{date.fromisoformat(days[place]):%d %b}" for place in dated])
    axes.yaxis.set_major_locator(MaxNLocator(MAX_TICKS, steps=[1, 2, 5, 10], integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("files with a prediction", fontsize=FONT_SIZE)
    style_axes(axes)
    return figure


def _printable(label: str) -> str:
    """Shortens an untrusted label, and replaces characters that the font lacks."""
    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    text = "".join(letter if ord(letter) in glyphs else "□" for letter in label)
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[:MAX_NAME_LENGTH]}…"
