"""The bake-off: several backbones on the same pictures, the same split and the same search for a head.

From it a user chooses: how good, how fast, how dear, how large. What is told of a contender is `contenders.py`.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, load_backbone
from pipeline.embed.embedding import embed_images
from pipeline.embed.sandbox import keep_harmless
from pipeline.evaluation.intervals import interval_of_share
from pipeline.images.split import TRAIN
from pipeline.training.classifier import fit_uncalibrated, identify_training
from pipeline.training.contenders import Contender
from pipeline.training.fitting import ClassifierParams

SAMPLE_COUNT: Final = 48
"""Pictures on which speed is measured."""

PASSES: Final = 5


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
        embed: from a backbone to its labelled features, with label and split.
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
    return compare_cpu_seconds([backbone], contents)[0]


def compare_cpu_seconds(backbones: Sequence[Backbone], contents: Sequence[bytes]) -> list[float]:
    """As `measure_cpu_seconds`, for several backbones in turns, so that a noisy machine is noisy for all of them."""
    contents = keep_harmless(contents, backbones[0])
    passes: list[list[float]] = [[] for _ in backbones]
    for number in range(PASSES + 1):
        for backbone, seconds in zip(backbones, passes, strict=True):
            started = time.thread_time()
            embed_images(
                contents if number else contents[: backbone.batch_size],
                load_backbone(backbone.path),
                backbone.size,
                backbone.batch_size,
            )
            seconds.append(time.thread_time() - started)
    return [statistics.median(seconds[1:]) / max(1, len(contents)) for seconds in passes]


def sample_images(training_images: DataFrame, count: int) -> list[bytes]:
    """The bytes of so many pictures of the train side, always the same ones: those with the least digests."""
    train = training_images.where((F.col("split") == TRAIN) & F.col("content").isNotNull())
    chosen = [row["image_id"] for row in train.select("image_id").distinct().orderBy("image_id").limit(count).collect()]
    contents = train.where(F.col("image_id").isin(chosen)).dropDuplicates(["image_id"]).select("image_id", "content")
    return [bytes(row["content"]) for row in sorted(contents.toLocalIterator(), key=lambda row: row["image_id"])]


def _judge(
    backbone: Backbone, features: DataFrame, contents: Sequence[bytes], params: ClassifierParams, training: str
) -> Contender:
    report = fit_uncalibrated(features, params).report
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
