"""The bake-off: compares backbones on the same images, split and search for a head; its results are `contenders.py`."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.contents import CONTENTS_SCHEMA, choose_columns, fill_contents
from pipeline.embed.embedding import Embedding
from pipeline.embed.fits import FITS
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.sandbox import Sandbox
from pipeline.evaluation.intervals import interval_of_share
from pipeline.images.split import TRAIN
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.training.classifier_fit import fit_uncalibrated
from pipeline.training.contenders import Contender
from pipeline.training.params import ClassifierParams, settle_head
from pipeline.training.training_set import check_trainable, identify, select_labelled

SAMPLE_COUNT: Final = 48  # images on which speed is measured
SAMPLE_BYTES: Final = 2**27  # of all sampled images, which the driver holds
PASSES: Final = 3


def judge_backbones(
    backbones: Iterable[Backbone],
    embed: Callable[[Backbone], DataFrame],
    contents: Sequence[bytes],
    params: ClassifierParams,
    recall: Callable[[str], Contender | None],
    keep: Callable[[Contender], object],
    log: Callable[[str], object],
    limits: Limits = DEFAULT_LIMITS,
) -> list[Contender]:
    """Fits and measures every backbone without a stored result for the same images and search.

    Args:
        backbones: backbones to compare.
        embed: returns the labelled features of a backbone.
        contents: bytes of the images on which speed is measured.
        params: parameters of the search.
        recall: finds a stored result by `training`.
        keep: stores each new result at once.
        log: logs each result as a sentence.
        limits: limits for one image.
    """
    contenders = []
    for backbone in backbones:
        features = embed(backbone)
        labelled = select_labelled(features)
        settled = settle_head(params, len(check_trainable(labelled, features)["labels"]))
        training = identify(labelled, backbone.digest, settled)
        contender, source = recall(training), "from an earlier bake-off"
        if contender is None:
            contender, source = _measure(backbone, features, contents, settled, training, limits), "new"
            keep(contender)
        log(
            f"{contender.name}: accuracy {contender.accuracy:.3f},"
            f" {contender.images_per_second:.0f} images per second and core ({source})"
        )
        contenders.append(contender)
    return contenders


def measure_cpu_seconds(
    backbones: Sequence[Backbone], contents: Sequence[bytes], limits: Limits = DEFAULT_LIMITS
) -> list[float]:
    """Measures CPU-seconds per image to decode and embed, for each backbone: the median of `PASSES` after a warm-up.

    Backbones take turns, so noise of the machine affects all of them.
    """
    works = [Embedding(each.path, each.size, each.batch_size, limits, FITS[each.fit]) for each in backbones]
    passes: list[list[float]] = [[] for _ in works]
    with ExitStack() as opened:
        sandboxes = [opened.enter_context(closing(Sandbox(work))) for work in works]
        for number in range(PASSES + 1):
            for sandbox, work, seconds in zip(sandboxes, works, passes, strict=True):
                images, cpu_timer = contents if number else contents[: work.batch_size], CpuTimer()
                errors = sandbox.run(pa.array(images, pa.binary()), cpu_timer)["error"]
                spent = sum(cpu_timer.seconds[stage] for stage in ("decode", "resize", "infer"))
                seconds.append(spent / max(1, errors.null_count))
    return [statistics.median(seconds[1:]) for seconds in passes]


def sample_images(training_images: DataFrame, count: int) -> list[bytes]:
    """Reads the bytes of `count` images of the train split, those with the smallest digests.

    Images above `SAMPLE_BYTES / count` are passed over, so the sample takes at most `SAMPLE_BYTES` of memory. Images
    whose file has changed are missing.
    """
    is_sampled = (F.col("split") == TRAIN) & F.col("image_id").isNotNull() & (F.col("length") <= SAMPLE_BYTES // count)
    train = training_images.where(is_sampled)
    chosen = [row["image_id"] for row in train.select("image_id").distinct().orderBy("image_id").limit(count).collect()]
    rows = train.where(F.col("image_id").isin(chosen)).dropDuplicates(["image_id"])
    contents = rows.select(*choose_columns(rows.columns)).mapInArrow(fill_contents, CONTENTS_SCHEMA)
    return [bytes(row["content"]) for row in sorted(contents.toLocalIterator(), key=lambda row: row["image_id"])]


def _measure(
    backbone: Backbone,
    features: DataFrame,
    contents: Sequence[bytes],
    params: ClassifierParams,
    training: str,
    limits: Limits,
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
        cpu_seconds=measure_cpu_seconds([backbone], contents, limits)[0],
        dimension=backbone.dimension,
        megabytes=backbone.megabytes,
        head=", ".join(f"{name} {value:g}" for name, value in best.items() if name != "accuracy"),
        digest=backbone.digest,
        training=training,
    )
