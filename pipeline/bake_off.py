"""The bake-off: several backbones on the same pictures, the same split and the same search for a head.

One row per backbone and precision, from which a user chooses: how good, how fast, how dear, how large. The picture of
it is `pareto_plot.py`.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.backbone import Backbone, load_backbone
from pipeline.classifier import fit_classifier, identify_training
from pipeline.evaluation import interval_of_share
from pipeline.features import BATCH_SIZE, embed_pictures
from pipeline.fitting import ClassifierParams
from pipeline.labels import TRAIN
from pipeline.pareto_plot import Point, draw_pareto
from pipeline.report import Report, markdown_table
from pipeline.schema import parse_schema

SCHEMA: Final = """
    backbone string comment 'name in the catalogue, or of the user''s file',
    precision string comment 'fp32 or int8',
    accuracy double comment 'share of the holdout that is answered rightly, 0 to 1',
    accuracy_low double comment 'lower end of its 95 % interval',
    accuracy_high double comment 'upper end of its 95 % interval',
    macro_f1 double comment 'mean of the labels'' F1, 0 to 1',
    holdout_count int comment 'pictures that it was judged on',
    cpu_seconds double comment 'of one core, to decode and embed one picture',
    dimension int comment 'length of the feature vector',
    megabytes double comment 'size of the graph''s file',
    head string comment 'parameters that the search chose',
    digest string comment 'SHA-256 of the graph',
    training string comment 'digest of the pictures, labels, split, backbone and search'
"""

SAMPLE_COUNT: Final = 48
"""Pictures on which speed is measured."""

PASSES: Final = 5


@dataclass(frozen=True)
class Contender:
    """A backbone in one precision, judged; the columns of `SCHEMA`."""

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
    def pictures_per_second(self) -> float:
        """Decoded and embedded by one core."""
        return 1 / self.cpu_seconds

    def dollars_per_million(self, core_hour_dollars: float) -> float:
        """What a million pictures cost at a price of a core for an hour."""
        return self.cpu_seconds * 1e6 / 3600 * core_hour_dollars


def judge_backbones(
    backbones: Iterable[Backbone],
    embed: Callable[[Backbone], DataFrame],
    contents: Sequence[bytes],
    params: ClassifierParams,
    recall: Callable[[str], Contender | None],
    keep: Callable[[Contender], object],
    tell: Callable[[str], object],
) -> list[Contender]:
    """Fits and measures every backbone that was not judged before on the same pictures with the same search.

    Args:
        backbones: to compare.
        embed: from a backbone to its labelled features, in the columns of `labels.FEATURES_SCHEMA`.
        contents: the bytes of pictures, to measure speed on.
        params: the search.
        recall: finds a contender that was judged before, by `training`.
        keep: is given every contender that was judged now, at once.
        tell: is told of each outcome in a sentence.
    """
    contenders = []
    for backbone in backbones:
        features = embed(backbone)
        training = identify_training(features, backbone, params)
        contender = recall(training)
        source = "judged before"
        if contender is None:
            contender = _judge(backbone, features, contents, params, training)
            source = "judged now"
            keep(contender)
        tell(
            f"{contender.name}: accuracy {contender.accuracy:.3f},"
            f" {contender.pictures_per_second:.0f} pictures a second and core, {source}"
        )
        contenders.append(contender)
    return contenders


def measure_cpu_seconds(backbone: Backbone, contents: Sequence[bytes]) -> float:
    """CPU-seconds of one core to decode and embed one picture: the median of several passes, after one to warm up."""
    embed = load_backbone(backbone.path)
    seconds = []
    embed_pictures(contents[:BATCH_SIZE], embed, backbone.size)
    for _ in range(PASSES):
        started = time.thread_time()
        embed_pictures(contents, embed, backbone.size)
        seconds.append(time.thread_time() - started)
    return statistics.median(seconds) / len(contents)


def sample_pictures(training_images: DataFrame, count: int) -> list[bytes]:
    """The bytes of so many pictures of the train side, always the same ones: those with the least digests."""
    train = training_images.where((F.col("split") == TRAIN) & F.col("content").isNotNull())
    chosen = [row["image_id"] for row in train.select("image_id").distinct().orderBy("image_id").limit(count).collect()]
    contents = train.where(F.col("image_id").isin(chosen)).dropDuplicates(["image_id"]).select("image_id", "content")
    return [bytes(row["content"]) for row in sorted(contents.toLocalIterator(), key=lambda row: row["image_id"])]


def tabulate_contenders(spark: SparkSession, contenders: Sequence[Contender]) -> DataFrame:
    """The contenders as a frame, in the columns of `SCHEMA`."""
    return spark.createDataFrame([tuple(asdict(each).values()) for each in contenders], parse_schema(SCHEMA))


def read_contenders(stored: DataFrame) -> dict[str, Contender]:
    """The contenders of a stored table, by `training`."""
    return {row["training"]: Contender(**row.asDict()) for row in stored.collect()}


def describe_bake_off(core_hour_dollars: float) -> Callable[[DataFrame], Report]:
    """The table of the contenders, the best first, and the plot of accuracy against speed."""

    def describe(stored: DataFrame) -> Report:
        contenders = sorted(read_contenders(stored).values(), key=lambda each: -each.accuracy)
        front = pareto_front(contenders)
        return Report(
            numbers={
                "contender_count": len(contenders),
                "best_accuracy": contenders[0].accuracy,
                "core_hour_dollars": core_hour_dollars,
            },
            texts={"best": contenders[0].name, "not_beaten": ", ".join(each.name for each in front)},
            tables={"contenders": contender_table(contenders, core_hour_dollars)},
            pictures={"pareto": draw_pareto(_points(contenders, front))},
        )

    return describe


def contender_table(contenders: Sequence[Contender], core_hour_dollars: float) -> str:
    """The contenders as a Markdown table, as narrow as an asset's page; speed is of one core, dollars of a million.

    Without spaces beside the bars, so that fourteen contenders stay below the 1,000 characters that are drawn inline.
    """
    header = ["backbone", "accuracy", "F1", "img/s", "$/M", "d", "MB"]
    rows = [
        [
            each.name,
            f"{each.accuracy:.3f} ±{(each.accuracy_high - each.accuracy_low) / 2:.3f}",
            f"{each.macro_f1:.3f}",
            f"{each.pictures_per_second:.0f}",
            f"{each.dollars_per_million(core_hour_dollars):.2f}",
            each.dimension,
            f"{each.megabytes:.0f}",
        ]
        for each in contenders
    ]
    return markdown_table(header, rows).replace(" | ", "|")


def pareto_front(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that no other contender beats: none is at least as good and at least as fast, and better in one of them."""

    def is_beaten(one: Contender) -> bool:
        return any(
            other.accuracy >= one.accuracy
            and other.cpu_seconds <= one.cpu_seconds
            and (other.accuracy, -other.cpu_seconds) != (one.accuracy, -one.cpu_seconds)
            for other in contenders
        )

    return [each for each in contenders if not is_beaten(each)]


def _judge(
    backbone: Backbone, features: DataFrame, contents: Sequence[bytes], params: ClassifierParams, training: str
) -> Contender:
    report = fit_classifier(features, params).report
    low, high = interval_of_share(report["accuracy"], report["support"])
    best: Mapping[str, Any] = report["chosen"].get("best") or report["params"]["params"]
    return Contender(
        backbone=backbone.name,
        precision=backbone.precision,
        accuracy=report["accuracy"],
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=report["macro_f1"],
        holdout_count=report["support"],
        cpu_seconds=measure_cpu_seconds(backbone, contents),
        dimension=backbone.dimension,
        megabytes=backbone.megabytes,
        head=", ".join(f"{name} {value:g}" for name, value in best.items() if name != "accuracy"),
        digest=backbone.digest,
        training=training,
    )


def _points(contenders: Sequence[Contender], front: Sequence[Contender]) -> list[Point]:
    return [
        Point(
            each.backbone,
            each.precision,
            each.pictures_per_second,
            each.accuracy,
            (each.accuracy_low, each.accuracy_high),
            each in front,
        )
        for each in contenders
    ]
