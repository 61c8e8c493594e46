"""The results of a bake-off, one per backbone and precision, as a table and on its page.

Measuring them is `bake_off.py`; the plot is `pareto_plot.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pyspark.sql import DataFrame, SparkSession

from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report
from pipeline.storage.schema import parse_schema
from pipeline.training.pareto_plot import Point, draw_pareto

SCHEMA: Final = """
    backbone string comment 'catalogue name, or name of the user''s file',
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
        """Backbone and precision, separated by a space."""
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
    return spark.createDataFrame([tuple(asdict(each).values()) for each in contenders], parse_schema(SCHEMA))


def read_contenders(stored: DataFrame) -> dict[str, Contender]:
    """Reads the results of a stored table, by `training`."""
    return {row["training"]: Contender(**row.asDict()) for row in stored.collect()}


def describe_contenders(core_hour_dollars: float) -> Callable[[DataFrame], Report]:
    """Reports the results as a table, best first, and plots accuracy against speed."""

    def describe(stored: DataFrame) -> Report:
        contenders = sorted(read_contenders(stored).values(), key=lambda each: -each.accuracy)
        front = pareto_front(contenders)
        return Report(
            numbers={
                "contender_count": len(contenders),
                "best_accuracy": contenders[0].accuracy,
                "core_hour_dollars": core_hour_dollars,
            },
            texts={"best": contenders[0].name, "pareto_front": ", ".join(each.name for each in front)},
            tables={"contenders": contender_table(contenders, core_hour_dollars)},
            images={"pareto": draw_pareto(_points(contenders, front))},
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


def _points(contenders: Sequence[Contender], front: Sequence[Contender]) -> list[Point]:
    return [
        Point(
            each.backbone,
            each.precision,
            each.images_per_second,
            each.accuracy,
            (each.accuracy_low, each.accuracy_high),
            each in front,
        )
        for each in contenders
    ]
