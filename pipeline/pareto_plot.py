"""The Pareto plot: accuracy against speed, with what no other contender beats joined by a line."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

WIDTH = 480
"""Pixels that the value column of an asset's page shows; wider pictures are cut off."""

HEIGHT = 400
DPI = 96
BEST = "#15803d"
BEATEN = "#94a3b8"


@dataclass(frozen=True)
class Point:
    """One contender.

    Attributes:
        name: written beside it.
        speed: pictures a second.
        accuracy: share, 0 to 1.
        interval: both ends of its 95 % interval.
        is_best: whether no other is both better and faster.
    """

    name: str
    speed: float
    accuracy: float
    interval: tuple[float, float]
    is_best: bool


def draw_pareto(points: Sequence[Point]) -> bytes:
    """Draws the points, and returns a JPEG of 480 by 400 pixels."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for point in points:
        colour = BEST if point.is_best else BEATEN
        reach = [[point.accuracy - point.interval[0]], [point.interval[1] - point.accuracy]]
        axes.errorbar(point.speed, point.accuracy, yerr=reach, fmt="o", markersize=5, color=colour, elinewidth=0.6)
    front = sorted((point.speed, point.accuracy) for point in points if point.is_best)
    axes.plot([speed for speed, _ in front], [accuracy for _, accuracy in front], color=BEST, linewidth=1)
    _write_names(figure, points)
    axes.set_xscale("log")
    axes.set_xlabel("pictures a second and core, decoding included", fontsize=8)
    axes.set_ylabel("accuracy on the holdout, 95 % interval", fontsize=8)
    axes.tick_params(labelsize=8, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 90})
    return file.getvalue()


def _write_names(figure: Figure, points: Sequence[Point]) -> None:
    """Writes each name beside its point, on the side where there is more room, and apart from its neighbours."""
    (axes,) = figure.axes
    fastest = max(point.speed for point in points)
    for order, point in enumerate(sorted(points, key=lambda each: each.accuracy)):
        is_right = point.speed > fastest / 3
        axes.annotate(
            point.name.replace("efficientnet", "effnet"),
            (point.speed, point.accuracy),
            xytext=(-6 if is_right else 6, 5 if order % 2 else -9),
            textcoords="offset points",
            ha="right" if is_right else "left",
            fontsize=7,
            color=BEST if point.is_best else "#475569",
        )
