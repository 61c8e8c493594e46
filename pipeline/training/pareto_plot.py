"""The Pareto plot: accuracy against speed; what no other contender beats is green and joined by a line."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

WIDTH: Final = 440
"""Pixels that the value column of an asset's page shows; wider pictures are cut off."""

HEIGHT: Final = 380
DPI: Final = 96
BEST: Final = "#15803d"
BEATEN: Final = "#64748b"
FAINT: Final = "#cbd5e1"
MARKERS: Final = {"fp32": "o", "int8": "s"}


@dataclass(frozen=True)
class Point:
    """One contender.

    Attributes:
        backbone: its name; its precisions are joined by a line.
        precision: `fp32` or `int8`.
        speed: pictures a second.
        accuracy: share, 0 to 1.
        interval: both ends of its 95 % interval.
        is_best: whether no other is both better and faster.
    """

    backbone: str
    precision: str
    speed: float
    accuracy: float
    interval: tuple[float, float]
    is_best: bool


def draw_pareto(points: Sequence[Point]) -> bytes:
    """Draws the points, and returns a JPEG of 440 by 380 pixels."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for backbone in dict.fromkeys(point.backbone for point in points):
        _draw_backbone(axes, [point for point in points if point.backbone == backbone])
    front = sorted((point.speed, point.accuracy) for point in points if point.is_best)
    axes.plot(*zip(*front, strict=True), color=BEST, linewidth=1.2, zorder=3)
    _label_axes(axes)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 92})
    return file.getvalue()


def _draw_backbone(axes: Axes, points: Sequence[Point]) -> None:
    axes.plot([p.speed for p in points], [p.accuracy for p in points], color=FAINT, linewidth=1, zorder=2)
    for point in points:
        axes.vlines(point.speed, *point.interval, color=FAINT, linewidth=0.7, zorder=1)
        colour = BEST if point.is_best else BEATEN
        axes.plot(point.speed, point.accuracy, MARKERS[point.precision], color=colour, markersize=5, zorder=4)
    named = min(points, key=lambda point: point.speed)
    axes.annotate(
        named.backbone,
        (named.speed, named.accuracy),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        path_effects=[withStroke(linewidth=2, foreground="white")],
        fontsize=7.5,
        color=BEST if any(point.is_best for point in points) else "#334155",
        zorder=5,
    )


def _label_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(left=axes.get_xlim()[0] / 1.8)  # room for the name of the slowest
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("pictures a second and core, decoding included", fontsize=8)
    axes.set_ylabel("accuracy on the holdout, 95 % interval", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    marks = [Line2D([], [], marker=mark, color=BEATEN, linestyle="", markersize=5) for mark in MARKERS.values()]
    marks.append(Line2D([], [], color=BEST, linewidth=1.2))
    axes.legend(marks, [*MARKERS, "not beaten"], fontsize=7.5, frameon=False, ncols=3, loc="lower left")
