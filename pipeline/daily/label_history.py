"""The labels of the last weeks as stacked bars, a bar for each day, for the page of a day's predictions."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate, chain, pairwise
from math import ceil, log10
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from pyspark.sql import DataFrame

from pipeline.reports.contact_sheet import fit_text
from pipeline.reports.report import Report
from pipeline.storage.counting import Day

DAYS: Final = 30
WIDTH: Final = 470
"""Pixels that the value column of an asset's page shows; wider pictures are cut off."""

HEIGHT: Final = 300
LEFT, TOP, RIGHT, BOTTOM = 40, 20, 322, 276
"""Of the bars; the names of the labels stand on the right of them, the dates below."""

GAP: Final = 2
"""Pixels between two days."""

MOST_TICKS: Final = 6
DAYS_A_DATE: Final = 6
LINE: Final = 18
SQUARE: Final = 9
SHOWN_LABELS: Final = 8
COLOURS: Final = ("#15803d", "#2563eb", "#b45309", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#475569")
OTHERS: Final = "others", "#cbd5e1"
INK: Final = "#334155"
PALE: Final = "#e2e8f0"

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
        return {day: Report(images={f"labels_of_{DAYS}_days": plot}) for day, plot in plots.items()}

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

    In 3 ms, where a plotting library takes 60: a backfill draws one for every day.

    Args:
        days: of the bars, in order; one without files has none.
        counts: of these days.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    shown, stacks = _stack(days, counts)
    tallest = max(map(sum, stacks))
    step = choose_step(tallest)
    most = step * ceil(tallest / step)
    scale = (BOTTOM - TOP) / most
    draw.text((LEFT, TOP - 4), "files with an answer", INK, font, anchor="ls")
    for tick in range(0, most + 1, step):
        draw.line([(LEFT, BOTTOM - tick * scale), (RIGHT, BOTTOM - tick * scale)], PALE)
        draw.text((LEFT - 6, BOTTOM - tick * scale), f"{tick:,}", INK, font, anchor="rm")
    room = (RIGHT - LEFT) / len(days)
    for place, (day, stack) in enumerate(zip(days, stacks, strict=True)):
        left, right = round(LEFT + room * place), round(LEFT + room * (place + 1)) - GAP
        edges = [round(BOTTOM - below * scale) for below in accumulate(stack, initial=0)]
        for (_, colour), (bottom, top) in zip(shown, pairwise(edges), strict=True):
            if top < bottom:  # less than half a pixel is not seen
                draw.rectangle([left, top, right - 1, bottom - 1], colour)
        if (len(days) - 1 - place) % DAYS_A_DATE == 0:
            text = f"{date.fromisoformat(day):%d %b}"
            draw.text(((left + right) / 2, BOTTOM + 6), text, INK, font, anchor="mt")
    for line, (name, colour) in enumerate(reversed(shown)):
        left, middle = RIGHT + 12, TOP + LINE * line + 4
        draw.rectangle([left, middle - SQUARE // 2, left + SQUARE, middle + SQUARE // 2], colour)
        text = fit_text(name, font, WIDTH - left - SQUARE - 8)
        draw.text((left + SQUARE + 6, middle), text, INK, font, anchor="lm")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


def choose_step(most: int) -> int:
    """The distance between two ticks, 1, 2 or 5 with zeros, so that at most `MOST_TICKS` lie above zero."""
    least = most / MOST_TICKS
    power = 10 ** max(0, int(log10(max(1, least))))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _stack(days: Sequence[str], counts: Counts) -> tuple[list[tuple[str, str]], list[list[int]]]:
    """Names and colours of the labels that are shown, the most frequent first, and their files on every day."""
    totals: Counter[str] = Counter()
    for (_, label), number in counts.items():
        if label is not None:
            totals[label] += number
    labels = sorted(totals, key=lambda label: (-totals[label], label))
    first, others = labels[:SHOWN_LABELS], labels[SHOWN_LABELS:]
    shown = [*zip(first, COLOURS, strict=False), *([OTHERS] if others else [])]
    groups = [*([label] for label in first), *([others] if others else [])]
    return shown, [[sum(counts.get((day, label), 0) for label in group) for group in groups] for day in days]
