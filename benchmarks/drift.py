"""Drift: alarms on days of the same photos, and on days with a class never seen, out of focus or with other colours.

    python -m benchmarks.drift FOLDER GRAPH

FOLDER has the layout of a training folder. A ridge regression in numpy replaces the head, which takes Spark a minute
per day.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.drift.comparison import ALARM_AT, IMAGES
from pipeline.drift.embedding_space import fit_class_scores, fit_embedding_space
from pipeline.drift.image_drift import DAY_LIMIT
from pipeline.drift.label_shift import compare_label_counts
from pipeline.drift.permutation import compare_samples, prepare_sample
from pipeline.drift.reference import FITTED_LIMIT, REFERENCE_LIMIT
from pipeline.embed.backbone import Backbone, load_backbone, open_backbone
from pipeline.embed.decode import decode
from pipeline.images.labels import list_training_files

Alter = Callable[[np.ndarray], np.ndarray]

ALTERATIONS: Final[dict[str, Alter]] = {
    "blur, sigma 4 of 224 pixels": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), max(pixels.shape[:2]) / 56),
    "warm, red 1.2 and blue 0.7": lambda pixels: (np.minimum(pixels * np.array([1.2, 1, 0.7]), 255)).astype(np.uint8),
    "warm, red 1.1 and blue 0.85": lambda pixels: (np.minimum(pixels * np.array([1.1, 1, 0.85]), 255)).astype(np.uint8),
    "red and blue swapped": lambda pixels: np.ascontiguousarray(pixels[..., ::-1]),
}
RESPLITS: Final = 100
DAYS: Final = 10
DAY_SIZES: Final = (150, 300, 500)
NEW_SHARE: Final = 0.1
HOLDOUT_SHARE: Final = 0.2
EMBED_COUNT: Final = 16


def main() -> None:
    """Embeds original and altered photos and prints a table of alarms."""
    folder, backbone = Path(sys.argv[1]), open_backbone(Path(sys.argv[2]).resolve())
    listed = list_training_files(str(folder)).labelled.select(["path", "label"]).to_pylist()
    labels = np.array([row["label"] for row in listed])
    pixels = np.stack([decode((folder / row["path"]).read_bytes(), backbone.size).pixels for row in listed])
    vectors = _embed(pixels, backbone)
    generator = np.random.default_rng(0)
    print("| day | photos | days | alarms: images | labels | either |\n|---|---|---|---|---|---|")
    half = len(labels) // 2
    stable = [
        _judge_split(vectors, labels, order[:half], order[half:][: generator.integers(100, 601)])
        for order in (generator.permutation(len(labels)) for _ in range(RESPLITS))
    ]
    _print_row("the same photos", "100 to 600", stable)
    for size in DAY_SIZES:
        for label in np.unique(labels):
            _print_row(
                f"{NEW_SHARE:.0%} {label}, never seen", size, _judge_new(vectors, labels, label, size, generator)
            )
    altered_count = min(len(labels), 2 * DAY_SIZES[1])
    for name, alter in ALTERATIONS.items():
        chosen = generator.permutation(len(labels))[:altered_count]
        changed = vectors.copy()
        changed[chosen] = _embed(np.stack([alter(pixels[number]) for number in chosen]), backbone)
        train = np.setdiff1d(np.arange(len(labels)), chosen)
        days = [generator.permutation(chosen)[: DAY_SIZES[0]] for _ in range(DAYS)]
        _print_row(name, DAY_SIZES[0], [_judge_split(changed, labels, train, day) for day in days])


def _judge_new(
    vectors: np.ndarray, labels: np.ndarray, label: str, size: int, generator: np.random.Generator
) -> list[tuple[bool, bool]]:
    """Judges days with one image in ten of a label that the training set lacks."""
    judged = []
    new_count = round(NEW_SHARE * size)
    for _ in range(DAYS):
        new, known = (generator.permutation(np.flatnonzero(found)) for found in (labels == label, labels != label))
        day = np.append(known[: size - new_count], new[:new_count])
        judged.append(_judge_split(vectors, labels, known[size - new_count :], day))
    return judged


def _judge_split(vectors: np.ndarray, labels: np.ndarray, train: np.ndarray, day: np.ndarray) -> tuple[bool, bool]:
    """Returns whether the images of a day raise an alarm, and whether its labels do."""
    train = np.random.default_rng(len(train)).permutation(train)
    kept = round(HOLDOUT_SHARE * len(train))
    holdout, train = train[:kept], train[kept:]
    first, fitted = vectors[train[:REFERENCE_LIMIT]], holdout[:FITTED_LIMIT]
    sample = prepare_sample(
        first,
        labels[train[:REFERENCE_LIMIT]].tolist(),
        fit_embedding_space(vectors[fitted], labels[fitted].tolist(), first),
    )
    found = compare_samples(sample, vectors[day[:DAY_LIMIT]])
    predict = _fit_ridge(vectors[train], labels[train])
    shift = compare_label_counts("2026-01-01", _count(predict(vectors[day])), _count(predict(vectors[holdout])))
    return found.p_value <= ALARM_AT[IMAGES], shift.is_alarm


def _fit_ridge(vectors: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    names = np.unique(labels)
    mean = vectors.mean(axis=0)
    weights = fit_class_scores(vectors, labels)
    shares = np.array([(labels == name).mean() for name in names])
    return lambda others: names[((others - mean) @ weights + shares).argmax(axis=1)]


def _count(predicted: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(predicted, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _embed(pixels: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Embeds images to vectors of length 1."""
    embed = load_backbone(backbone.path)
    parts = [embed(pixels[start : start + EMBED_COUNT]) for start in range(0, len(pixels), EMBED_COUNT)]
    vectors = np.concatenate(parts).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _print_row(name: str, size: object, judged: list[tuple[bool, bool]]) -> None:
    images, labels, either = (sum(map(bool, flags)) for flags in (*zip(*judged, strict=True), [any(e) for e in judged]))
    print(f"| {name} | {size} | {len(judged)} | {images} | {labels} | {either} |", flush=True)


if __name__ == "__main__":
    main()
