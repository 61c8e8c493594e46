"""The promise: how many answers are right on simulated days, calm ones and such as a training set does not show.

    python -m benchmarks.promise FOLDER GRAPH
    python -m benchmarks.promise FOLDER GRAPH --days FOLDER --size 600

FOLDER has the layout of a training folder. Days are drawn from the other folder, or from a random fifth of FOLDER that
is left out of the training. The regression is fitted on the driver, as the folds of a cross-fit are; all that
decides on an answer is the code of a day, the quality screen included. Labels serve only to judge.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from scipy.stats import binom

from benchmarks.drift import ALTERATIONS, EMBED_COUNT
from pipeline.daily.day_samples import DaySample
from pipeline.daily.difficulty import estimate_difficulty
from pipeline.drift.comparison import Comparison
from pipeline.drift.embedding_space import fit_embedding_space
from pipeline.drift.image_drift import DAY_LIMIT, compare_images, find_neighbourhoods
from pipeline.drift.reference import RARE_SHARE, Reference, make_reference
from pipeline.embed.backbone import load_backbone, open_backbone
from pipeline.embed.decode import load
from pipeline.embed.letterbox import letterbox
from pipeline.embed.quality import FLAGS, find_flags
from pipeline.evaluation.calibration import UNCALIBRATED, soften
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.images.labels import list_training_files
from pipeline.similarity.nearest import normalise
from pipeline.training.classifier import Classifier
from pipeline.training.cross_fit import cross_fit
from pipeline.training.fold_fits import MLLIB_TOLERANCE
from pipeline.training.heads import head_params
from pipeline.training.params import ClassifierParams
from pipeline.training.softmax.regression import SoftmaxRegression, fit_softmax
from resources.spark.session import SparkResource

FIRST_DAY: Final = date(2026, 1, 1)
GAP: Final = 30  # days from one simulated day to the next, so that none belongs to the week or the pool of another
UNSEEN_SHARE: Final = 0.2
SHIFTS: Final = ("blur, sigma 4 of 224 pixels", "warm, red 1.1 and blue 0.85")
BACKBONE: Final = "b" * 64


@dataclass(frozen=True)
class Images:
    """Labelled images: features float32 `[n, dimension]`, labels str `[n]`, and flags bool `[n, FLAGS]`."""

    features: np.ndarray
    labels: np.ndarray
    flags: np.ndarray

    def take(self, chosen: np.ndarray) -> "Images":
        """The images at these places, or where the mask is true."""
        return Images(self.features[chosen], self.labels[chosen], self.flags[chosen])

    @property
    def rare_flags(self) -> list[str]:
        """Flags that hardly any of the images have."""
        return [name for name, share in zip(FLAGS, self.flags.mean(axis=0), strict=True) if share < RARE_SHARE]


@dataclass(frozen=True)
class Model:
    """What a training leaves for the days."""

    regression: SoftmaxRegression
    names: np.ndarray
    levels: Sequence[LabelledPredictions]
    reference: Reference


def main() -> None:
    """Prints one row for each kind of day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--days", type=Path, help="folder of labelled images that arrive; by default a fifth of FOLDER")
    parser.add_argument("--size", type=int, default=150, help="images a day")
    parser.add_argument("--count", type=int, default=20, help="days of a kind")
    parser.add_argument("--unseen", nargs="*", help="labels to leave out of the training; by default each in turn")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    known, arriving, shifted = read_images(options.folder, options.days, options.graph, generator)
    spark = SparkResource(master="local[2]", spark_config={}).spark_session
    model = train(spark, known)

    def report(kind: str, model: Model, pools: Sequence[tuple[Images, int]]) -> None:
        days = [draw(pools, generator) for _ in range(options.count)]
        print(judge(kind, model, days), flush=True)

    print("| day | right | estimated | answered (oracle) | right among answers | worst day | within .05 | clustered |")
    print("|---|---|---|---|---|---|---|---|")
    report("calm", model, [(arriving, options.size)])
    halves = [draw([(keep_half(arriving, generator), options.size)], generator) for _ in range(options.count)]
    print(judge("half of the classes", model, halves), flush=True)
    for name, images in shifted.items():
        report(name, model, [(images, options.size)])
    unseen_count = round(UNSEEN_SHARE * options.size)
    for label in np.unique(known.labels) if options.unseen is None else options.unseen:
        without, new = known.take(known.labels != label), known.take(known.labels == label)
        pools = [(arriving.take(arriving.labels != label), options.size - unseen_count), (new, unseen_count)]
        report(f"{UNSEEN_SHARE:.0%} {label}, never seen", train(spark, without), pools)


def read_images(
    folder: Path, days: Path | None, graph: Path, generator: np.random.Generator
) -> tuple[Images, Images, dict[str, Images]]:
    """Embeds the images to learn from, those that arrive, and the altered ones that arrive."""
    backbone = open_backbone(graph.resolve())
    embed = load_backbone(backbone.path)

    def read(root: Path, alter: Any = lambda pixels: pixels) -> Images:
        listed = list_training_files(str(root)).labelled.select(["path", "label"]).to_pylist()
        pixels, flags = [], []
        for row in listed:
            loaded = load((root / row["path"]).read_bytes(), backbone.size)
            altered = np.dstack([alter(loaded.pixels[..., :3]), loaded.pixels[..., 3:]])
            pixels.append(letterbox(altered, backbone.size))
            flags.append(np.isin(FLAGS, find_flags(altered, loaded.width, loaded.height)))
        starts = range(0, len(pixels), EMBED_COUNT)
        features = np.concatenate([embed(np.stack(pixels[start : start + EMBED_COUNT])) for start in starts])
        return Images(features.astype(np.float32), np.array([row["label"] for row in listed]), np.stack(flags))

    known = read(folder)
    if days:
        return known, read(days), {name: read(days, ALTERATIONS[name]) for name in SHIFTS}
    order = generator.permutation(len(known.labels))
    own, others = order[: len(order) // 5], order[len(order) // 5 :]
    shifted = {name: read(folder, ALTERATIONS[name]).take(own) for name in SHIFTS}
    return known.take(others), known.take(own), shifted


def train(spark: SparkSession, known: Images) -> Model:
    """Fits the regression, the cross-fits and the reference of the drift test."""
    params = ClassifierParams()
    ids = [f"{number:064x}" for number in range(len(known.labels))]
    columns = {"image_id": ids, "group": ids, "label": known.labels.tolist(), "features": known.features.tolist()}
    levels = cross_fit(spark.createDataFrame(pa.table(columns)).cache(), params, lambda _: None)
    names, numbers = np.unique(known.labels, return_inverse=True)
    settings, vectors = head_params(params.head, params.params), normalise(known.features)
    fitted = fit_softmax(
        vectors.astype(np.float64), numbers, settings["regParam"], int(settings["maxIter"]), MLLIB_TOLERANCE
    )
    holdout = np.arange(len(vectors)) % 5 == 0
    aside, first = vectors[holdout], vectors[~holdout]
    space = fit_embedding_space(aside, known.labels[holdout].tolist(), first)
    labels = known.labels[~holdout].tolist()
    reference = make_reference(BACKBONE, first, labels, space, tuple(known.rare_flags))
    return Model(fitted, names, levels, reference)


def draw(pools: Sequence[tuple[Images, int]], generator: np.random.Generator) -> Images:
    """Draws a day: a number of images of each pool, or all of them."""
    parts = [pool.take(generator.permutation(len(pool.labels))[:count]) for pool, count in pools]
    return Images(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.flags for part in parts]),
    )


def keep_half(images: Images, generator: np.random.Generator) -> Images:
    """Keeps the images of a random half of the classes."""
    names = generator.permutation(np.unique(images.labels))
    return images.take(np.isin(images.labels, names[: len(names) // 2]))


def judge(kind: str, model: Model, days: Sequence[Images]) -> str:
    """Predicts the days and returns a row of the table."""
    dates = [FIRST_DAY + timedelta(days=GAP * number) for number in range(len(days))]
    vectors = {
        str(day): (sample_ids(day, images), normalise(images.features[:DAY_LIMIT]))
        for day, images in zip(dates, days, strict=True)
    }
    found = list(compare_images(list(map(str, dates)), vectors, BACKBONE, model.reference))
    compared = {day: [each for each in found if each.day == day] for day in dates}
    neighbourhoods, unlike = find_neighbourhoods(found, vectors, model.reference), set[str]()
    for day, images in zip(dates, days, strict=True):
        if neighbourhood := neighbourhoods.get(str(day)):
            ids = np.array(sample_ids(day, images))
            unlike.update(ids[neighbourhood.find_clustered(pa.array(ids), normalise(images.features))])
    rows = [_judge_day(model, day, images, compared[day], unlike) for day, images in zip(dates, days, strict=True)]
    true, estimated, oracle, clustered_share = (np.mean([row[each] for row in rows]) for each in range(4))
    answered, right = (sum(row[each] for row in rows) for each in (4, 5))
    worst = min(float(binom.cdf(row[5], row[4], 0.95)) if row[4] else 1.0 for row in rows)
    close = sum(abs(row[0] - row[1]) <= 0.05 for row in rows)
    total = sum(len(images.labels) for images in days)
    precision = f"{right / answered:.3f}" if answered else "none"
    return (
        f"| {kind} | {true:.3f} | {estimated:.3f} | {answered / total:.3f} ({oracle:.3f}) | {precision} |"
        f" p = {worst:.3f} | {close} of {len(days)} | {clustered_share:.2f} |"
    )


def sample_ids(day: date, images: Images) -> list[str]:
    """Names the images of a day."""
    return [f"{day}{number:054x}" for number in range(len(images.labels))]


def _judge_day(
    model: Model, day: date, images: Images, compared: Sequence[Comparison], unlike: set[str]
) -> tuple[float, float, float, float, int, int]:
    """Accuracy, its estimate, the oracle's and the clustered share; the numbers of answers and of right ones."""
    count = len(images.labels)
    shares = model.regression.predict(normalise(images.features).astype(np.float64))
    is_right, raw = model.names[shares.argmax(axis=1)] == images.labels, shares.max(axis=1)
    flags = model.reference.rare_flags
    is_flagged = images.flags[:, np.isin(FLAGS, flags)].any(axis=1)
    sample = DaySample(raw, is_flagged, count)
    classifier = Classifier("v", BACKBONE, cast("Any", None), {"calibration": UNCALIBRATED.to_dict()})
    row = estimate_difficulty(
        *(day, {day: count}, {day: sample}, classifier, model.levels),
        comparisons=compared,
        review_flags=flags,
    )
    confidence = soften(shares, row.temperature).max(axis=1)
    threshold = np.inf if row.threshold is None else row.threshold
    predicted = model.names[shares.argmax(axis=1)]
    thresholds = np.array([max(threshold, row.label_thresholds.get(str(label), 0.0)) for label in predicted])
    is_unlike = np.isin(sample_ids(day, images), list(unlike))
    is_answered = ~is_unlike & ~is_flagged & (confidence >= thresholds)
    best = np.cumsum(is_right[np.argsort(-raw)]) / np.arange(1, count + 1)
    oracle = (int(np.flatnonzero(best >= 0.95).max(initial=-1)) + 1) / count
    right = int(is_right[is_answered].sum())
    return float(is_right.mean()), row.accuracy or 0.0, oracle, float(is_unlike.mean()), int(is_answered.sum()), right


if __name__ == "__main__":
    main()
