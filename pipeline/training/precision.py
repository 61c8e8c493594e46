"""The choice between fp32 and int8: measures what int8 costs on the user's own labelled images, and decides.

Records of earlier measurements are `resources/models/precision.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.reports.report import Report
from pipeline.storage.vectors import to_matrix
from pipeline.training.bake_off import measure_cpu_seconds
from pipeline.training.cross_fit import cross_fit
from pipeline.training.params import ClassifierParams
from pipeline.training.training_set import check_trainable, select_labelled

MAX_IMAGES: Final = 1_000  # to measure accuracy; each is embedded in both precisions, and predicted by a cross-fit
MAX_LABELS: Final = 50  # of these images, so that there are twenty of each to learn from
MAX_COSINES: Final = 1_000  # images whose two vectors are compared on the driver: 10 MB with 1,280 features
MAX_LOSS: Final = 0.005  # of accuracy, 0 to 1: half a point
ROUNDING: Final = 1e-9  # tolerance for floats: one image of two hundred is exactly half a point


@dataclass(frozen=True)
class PrecisionCosts:
    """What int8 costs and gains against fp32 on the same images.

    Attributes:
        fp32_accuracy: accuracy of the default head in a cross-fit, 0 to 1.
        int8_accuracy: accuracy of the same head on int8 features.
        holdout_count: images that the cross-fit predicted; of earlier versions, images of the holdout.
        picture_count: images that were measured.
        mean_cosine: mean cosine between the two vectors of an image.
        smallest_cosine: minimum cosine.
        fp32_pictures_per_second: images that one core decodes and embeds per second.
        int8_pictures_per_second: speed in int8.
        loss_error: standard error of the loss, 0 to 1; 0 in records of earlier versions.
    """

    fp32_accuracy: float
    int8_accuracy: float
    holdout_count: int
    picture_count: int
    mean_cosine: float
    smallest_cosine: float
    fp32_pictures_per_second: float
    int8_pictures_per_second: float
    loss_error: float = 0.0

    @property
    def loss(self) -> float:
        """Accuracy that int8 loses, 0 to 1; negative if it gains."""
        return self.fp32_accuracy - self.int8_accuracy

    @property
    def speedup(self) -> float:
        """Speed of int8 as a multiple of fp32's."""
        return self.int8_pictures_per_second / self.fp32_pictures_per_second


@dataclass(frozen=True)
class PrecisionChoice:
    """A chosen precision.

    Attributes:
        precision: `fp32` or `int8`.
        reason: sentence for people that begins with the precision.
        costs: None if nothing was measured.
    """

    precision: str
    reason: str
    costs: PrecisionCosts | None = None


def sample_labelled(training_images: DataFrame) -> list[str]:
    """Lists the ids of the `MAX_IMAGES` images with the smallest digests, so every call gives the same sample.

    Of more than `MAX_LABELS` labels, only those with the smallest hashes count.
    """
    images = training_images.where(F.col("image_id").isNotNull()).select("image_id", "label").distinct()
    labels = images.select("label").distinct().orderBy(F.xxhash64("label"), "label").limit(MAX_LABELS)
    chosen = images.join(F.broadcast(labels), "label").select("image_id").distinct()
    return [row["image_id"] for row in chosen.orderBy("image_id").limit(MAX_IMAGES).collect()]


def measure_costs(
    fp32: Backbone,
    int8: Backbone,
    embed: Callable[[Backbone], DataFrame],
    contents: Sequence[bytes],
    limits: Limits = DEFAULT_LIMITS,
) -> PrecisionCosts:
    """Cross-fits the default head on the features of both graphs, and compares accuracy, vectors and speed.

    The cross-fit predicts every image, five times as many as a holdout of a fifth, so fewer images are embedded twice.

    Args:
        fp32: graph in fp32.
        int8: its int8 variant.
        embed: returns labelled features of at most `MAX_IMAGES` images, the same ones for both graphs.
        contents: bytes of the images on which speed is measured, in turns.
        limits: limits for one image.

    Raises:
        TrainingError: if nothing can be fitted or evaluated; no image is embedded in int8 then.
    """
    exact = embed(fp32).cache()
    try:
        labelled = select_labelled(exact)
        check_trainable(labelled, exact)
        rounded = embed(int8).cache()
        fp32_answers, int8_answers = _cross_fit(labelled), _cross_fit(select_labelled(rounded))
        cosines = measure_cosines(exact, rounded)
        rounded.unpersist()
    finally:
        exact.unpersist()
    fp32_seconds, int8_seconds = measure_cpu_seconds([fp32, int8], contents, limits)
    return PrecisionCosts(
        fp32_accuracy=float(fp32_answers.is_right.mean()),
        int8_accuracy=float(int8_answers.is_right.mean()),
        holdout_count=len(fp32_answers),
        picture_count=len(fp32_answers),
        mean_cosine=float(cosines.mean()),
        smallest_cosine=float(cosines.min()),
        fp32_pictures_per_second=1 / fp32_seconds,
        int8_pictures_per_second=1 / int8_seconds,
        loss_error=measure_loss_error(fp32_answers, int8_answers),
    )


def measure_loss_error(one: LabelledPredictions, other: LabelledPredictions) -> float:
    """Computes the standard error of the difference of two accuracies, from the images that both predict."""
    _, left, right = np.intersect1d(one.image_ids.astype(str), other.image_ids.astype(str), return_indices=True)
    differences = one.is_right[left].astype(float) - other.is_right[right]
    return float(differences.std() / np.sqrt(len(differences)))


def _cross_fit(labelled: DataFrame) -> LabelledPredictions:
    (answers,) = cross_fit(labelled, ClassifierParams(), shelf_counts=())
    return answers


def measure_cosines(exact: DataFrame, rounded: DataFrame) -> np.ndarray:
    """Computes the cosine of both vectors of each image, for the `MAX_COSINES` images with the smallest digests.

    The cosine of two zero vectors is 1; of a zero vector and another one, 0.
    """
    left, right = (
        each.where(F.col("features").isNotNull()).select("image_id", F.col("features").alias(name))
        for name, each in (("exact", exact), ("rounded", rounded))
    )
    pairs = left.join(right, "image_id").orderBy("image_id").limit(MAX_COSINES).toArrow()
    one, other = (to_matrix(pairs[name], np.float64) for name in ("exact", "rounded"))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    equal = (one == other).all(axis=1).astype(np.float64)
    return np.divide((one * other).sum(axis=1), norms, out=equal, where=norms > 0)


def choose_precision(costs: PrecisionCosts, objection: str | None = None) -> PrecisionChoice:
    """Chooses the faster precision whose accuracy is within half a point of the better one, or may be by chance.

    Args:
        costs: measured costs.
        objection: reason that rules out int8 at any cost, such as a failed parity check.
    """
    accuracies = f"accuracy {costs.int8_accuracy:.3f} against {costs.fp32_accuracy:.3f} on {costs.holdout_count} images"
    speed = f"{costs.speedup:.1f} times as fast"
    if objection:
        return PrecisionChoice("fp32", f"fp32: int8 is {speed}, but {objection}", costs)
    if not loses_little(costs):
        return PrecisionChoice("fp32", f"fp32: int8 is {speed}, but loses more than half a point: {accuracies}", costs)
    if costs.speedup <= 1 and -costs.loss <= MAX_LOSS + ROUNDING:
        return PrecisionChoice("fp32", f"fp32: int8 is no faster, {speed}, {accuracies}", costs)
    doubt = f", which may be chance (± {costs.loss_error:.3f})" if costs.loss > MAX_LOSS + ROUNDING else ""
    return PrecisionChoice("int8", f"int8: {speed} as fp32, {accuracies}{doubt}", costs)


def loses_little(costs: PrecisionCosts) -> bool:
    """Whether int8 loses at most half a point of accuracy, or exceeds that by no more than one standard error."""
    return costs.loss <= MAX_LOSS + costs.loss_error + ROUNDING


def describe_precision(choice: PrecisionChoice) -> Report:
    """Reports the reason for the precision, and the measured costs of int8."""
    numbers = asdict(choice.costs) | {"int8_speedup": choice.costs.speedup} if choice.costs else {}
    renamed = {"mean_cosine": "int8_mean_cosine", "smallest_cosine": "int8_smallest_cosine"}
    renamed |= {name: name.replace("picture", "image") for name in numbers if "picture" in name}
    return Report({renamed.get(name, name): number for name, number in numbers.items()}, {"why": choice.reason})
