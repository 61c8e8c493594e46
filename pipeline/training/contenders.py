"""The results of a bake-off, one per backbone and precision: as a table and on its page; `bake_off.py` measures."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from pyspark.sql import DataFrame, SparkSession

from pipeline.reports.figures import FONT_SIZE, new_figure, style_axes, to_jpeg
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import FAINT, GOOD, INK, MUTED
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame

MARKERS: Final = {"fp32": "o", "int8": "s"}
SCHEMA: Final = """
    backbone string comment 'catalogue name, or name of a file of the user',
    precision string comment 'fp32 or int8',
    accuracy double comment 'share of correct predictions on the holdout, 0 to 1',
    accuracy_low double comment 'lower end of its 95 % interval',
    accuracy_high double comment 'upper end of its 95 % interval',
    macro_f1 double comment 'mean F1 of the labels, 0 to 1',
    holdout_count int comment 'images of the holdout',
    cpu_seconds double comment 'CPU-seconds to decode and embed one image',
    dimension int comment 'length of the feature vector',
    megabytes double comment 'size of the graph file',
    head string comment 'parameters that the search chose',
    digest string comment 'SHA-256 of the graph',
    training string comment 'digest of images, labels, split, backbone and search'
"""


@dataclass(frozen=True)
class Contender:
    """Result of a backbone in one precision, in the columns of `SCHEMA`."""

    backbone: str
    precision: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    holdout_count: int
    cpu_seconds: float
    dimension: int
    megabytes: float
    head: str
    digest: str
    training: str

    @property
    def name(self) -> str:
        """Backbone and precision."""
        return f"{self.backbone} {self.precision}"

    @property
    def images_per_second(self) -> float:
        """Images that one core decodes and embeds per second."""
        return 1 / self.cpu_seconds

    def dollars_per_million(self, core_hour_dollars: float) -> float:
        """Price of a million images, from the price of a core-hour."""
        return self.cpu_seconds * 1e6 / 3600 * core_hour_dollars


def tabulate_contenders(spark: SparkSession, contenders: Sequence[Contender]) -> DataFrame:
    """Converts results to a frame in the columns of `SCHEMA`."""
    return make_frame(spark, parse_schema(SCHEMA), [asdict(each) for each in contenders])


def read_contenders(stored: DataFrame) -> dict[str, Contender]:
    """Reads the results of a stored table, by `training`."""
    return {row["training"]: Contender(**row.asDict()) for row in stored.collect()}


def describe_contenders(core_hour_dollars: float) -> Callable[[DataFrame], Report]:
    """Reports the results as a table, best first, and plots accuracy against speed."""

    def describe(stored: DataFrame) -> Report:
        contenders = sorted(read_contenders(stored).values(), key=lambda each: -each.accuracy)
        front = pareto_front(contenders)
        best = contenders[0]
        return Report(
            {
                "contender_count": len(contenders),
                "best_accuracy": best.accuracy,
                "core_hour_dollars": core_hour_dollars,
            },
            {"best": best.name, "pareto_front": ", ".join(each.name for each in front)},
            {"contenders": contender_table(contenders, core_hour_dollars)},
            {"pareto": draw_pareto(contenders, front)},
        )

    return describe


def contender_table(contenders: Sequence[Contender], core_hour_dollars: float) -> str:
    """Formats results as a narrow Markdown table: images per second and core, dollars per million images.

    Without spaces beside the bars: Dagster shows up to 1,000 characters inline, which is fourteen results.
    """
    header = ["backbone", "accuracy", "F1", "img/s", "$/M", "d", "MB"]
    rows = [
        [
            each.name,
            f"{each.accuracy:.3f} ±{(each.accuracy_high - each.accuracy_low) / 2:.3f}",
            f"{each.macro_f1:.3f}",
            f"{each.images_per_second:.0f}",
            f"{each.dollars_per_million(core_hour_dollars):.2f}",
            each.dimension,
            f"{each.megabytes:.0f}",
        ]
        for each in contenders
    ]
    return markdown_table(header, rows).replace(" | ", "|")


def pareto_front(contenders: Sequence[Contender]) -> list[Contender]:
    """Selects results that no other dominates: as accurate and as fast, and better in one of both."""

    def is_dominated(one: Contender) -> bool:
        return any(
            other.accuracy >= one.accuracy
            and other.cpu_seconds <= one.cpu_seconds
            and (other.accuracy, -other.cpu_seconds) != (one.accuracy, -one.cpu_seconds)
            for other in contenders
        )

    return [each for each in contenders if not is_dominated(each)]


def draw_pareto(contenders: Sequence[Contender], front: Sequence[Contender]) -> bytes:
    """Draws accuracy against speed, with the Pareto front in green, and returns a JPEG of 440 by 380 pixels."""
    figure = new_figure(380)
    axes = figure.subplots()
    for backbone in dict.fromkeys(each.backbone for each in contenders):
        _draw_backbone(axes, [each for each in contenders if each.backbone == backbone], front)
    line = sorted((each.images_per_second, each.accuracy) for each in front)
    axes.plot(*zip(*line, strict=True), color=GOOD, linewidth=1.2, zorder=3)
    _label_axes(axes)
    return to_jpeg(figure)


def _draw_backbone(axes: Axes, precisions: Sequence[Contender], front: Sequence[Contender]) -> None:
    """Draws one point per precision with its 95 % interval, and a line between them."""
    speeds = [each.images_per_second for each in precisions]
    axes.plot(speeds, [each.accuracy for each in precisions], color=FAINT, linewidth=1, zorder=2)
    for speed, each in zip(speeds, precisions, strict=True):
        axes.vlines(speed, each.accuracy_low, each.accuracy_high, color=FAINT, linewidth=0.7, zorder=1)
        colour = GOOD if each in front else MUTED
        axes.plot(speed, each.accuracy, MARKERS[each.precision], color=colour, markersize=5, zorder=4)
    slowest = max(precisions, key=lambda each: each.cpu_seconds)
    axes.annotate(
        slowest.backbone,
        (slowest.images_per_second, slowest.accuracy),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        path_effects=[withStroke(linewidth=2, foreground="white")],
        fontsize=FONT_SIZE - 0.5,
        color=GOOD if any(each in front for each in precisions) else INK,
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
