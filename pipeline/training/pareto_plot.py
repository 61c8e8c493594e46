"""The Pareto plot of a bake-off: accuracy against speed, with the Pareto front in green."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from pipeline.reports.figures import FONT_SIZE, new_figure, style_axes, to_jpeg
from pipeline.reports.palette import FAINT, GOOD, INK, MUTED

MARKERS: Final = {"fp32": "o", "int8": "s"}


@dataclass(frozen=True)
class Point:
    """One backbone in one precision.

    Attributes:
        backbone: name; a line joins its precisions.
        precision: `fp32` or `int8`.
        speed: images per second and core.
        accuracy: accuracy on the holdout, 0 to 1.
        interval: both ends of its 95 % interval.
        is_best: whether it lies on the Pareto front.
    """

    backbone: str
    precision: str
    speed: float
    accuracy: float
    interval: tuple[float, float]
    is_best: bool


def draw_pareto(points: Sequence[Point]) -> bytes:
    """Draws the points, and returns a JPEG of 440 by 380 pixels."""
    figure = new_figure(380)
    axes = figure.subplots()
    for backbone in dict.fromkeys(point.backbone for point in points):
        _draw_backbone(axes, [point for point in points if point.backbone == backbone])
    front = sorted((point.speed, point.accuracy) for point in points if point.is_best)
    axes.plot(*zip(*front, strict=True), color=GOOD, linewidth=1.2, zorder=3)
    _label_axes(axes)
    return to_jpeg(figure)


def _draw_backbone(axes: Axes, points: Sequence[Point]) -> None:
    axes.plot([p.speed for p in points], [p.accuracy for p in points], color=FAINT, linewidth=1, zorder=2)
    for point in points:
        axes.vlines(point.speed, *point.interval, color=FAINT, linewidth=0.7, zorder=1)
        colour = GOOD if point.is_best else MUTED
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
        fontsize=FONT_SIZE - 0.5,
        color=GOOD if any(point.is_best for point in points) else INK,
        zorder=5,
    )


def _label_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(left=axes.get_xlim()[0] / 1.8)  # room for the name of the slowest
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("images per second and core, with decoding", fontsize=FONT_SIZE)
    axes.set_ylabel("accuracy on the holdout, 95 % interval", fontsize=FONT_SIZE)
    style_axes(axes)
    marks = [Line2D([], [], marker=mark, color=MUTED, linestyle="", markersize=5) for mark in MARKERS.values()]
    marks.append(Line2D([], [], color=GOOD, linewidth=1.2))
    axes.legend(marks, [*MARKERS, "Pareto front"], fontsize=FONT_SIZE - 0.5, frameon=False, ncols=3, loc="lower left")
