"""Scores: how good predictions for labelled images are, with the uncertainty of few images."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.intervals import interval_of_share
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.reliability import Bin, bin_predictions, calibration_error, chance_error
from pipeline.reports.markdown import escape_markdown, markdown_table

Interval = tuple[float, float]

MAX_WRONG_COUNT: Final = 24
RESAMPLE_COUNT: Final = 1000  # bootstrap resamples
RESAMPLED_CELLS: Final = 2**22  # of the confusion matrix, in all resamples that are in memory at a time: 100 MB
SHOWN_LABELS: Final = 30  # rows of a table on a page


@dataclass(frozen=True)
class ClassScore:
    """Scores of one label; shares from 0 to 1, with their 95 % intervals."""

    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """Scores of all predictions, with their 95 % intervals."""

    accuracy: float
    accuracy_interval: Interval
    macro_f1: float  # unweighted mean of the F1 of the labels
    macro_f1_interval: Interval
    support: int
    classes: dict[str, ClassScore]
    confusion: dict[str, dict[str, int]]  # images by label and predicted label, without zeros


@dataclass(frozen=True)
class Reliability:
    """Calibration of the confidences, and precision of the auto-accepted (given) predictions."""

    calibration_error: float  # expected calibration error in ten bins, 0 to 1
    chance_error: float  # 95 % quantile of this error for perfectly calibrated confidences
    bins: list[Bin]  # points of the reliability curve
    coverage: float  # share of auto-accepted predictions
    given_count: int
    given_precision: float | None  # None where none was auto-accepted
    given_interval: Interval


@dataclass(frozen=True)
class WrongPrediction:
    """A prediction that differs from the label."""

    image_id: str
    label: str
    predicted_label: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of predictions for labelled images; its names are keys of `evaluation.json`."""

    scores: Scores
    reliability: Reliability
    mistakes: list[WrongPrediction]  # at most `MAX_WRONG_COUNT`, the most confident first

    def to_dict(self) -> dict[str, Any]:
        """Converts to plain values, with the scores at the top level."""
        values = json.loads(json.dumps(asdict(self)))
        return {**values.pop("scores"), **values}


def evaluate(predictions: LabelledPredictions, calibration: Calibration) -> Evaluation:
    """Compares predictions with the labels; raises a ValueError without predictions."""
    counts = Counter(zip(predictions.labels.tolist(), predictions.predicted.tolist(), strict=True))
    confidence, is_right = predictions.confidence, predictions.is_right
    wrong = [n for n in np.argsort(-confidence, kind="stable") if not is_right[n]][:MAX_WRONG_COUNT]
    ids, labels, predicted = predictions.image_ids, predictions.labels, predictions.predicted
    mistakes = [WrongPrediction(ids[n], labels[n], predicted[n], float(confidence[n])) for n in wrong]
    return Evaluation(score(counts), measure_reliability(confidence, is_right, calibration.threshold), mistakes)


def measure_reliability(confidence: np.ndarray, is_right: np.ndarray, threshold: float | None) -> Reliability:
    """Compares confidences, float64 `[n]` with n > 0, with the share of correct predictions.

    Predictions are auto-accepted from the threshold upwards; none without a threshold.
    """
    is_accepted = confidence >= threshold if threshold is not None else np.zeros(len(confidence), bool)
    count = int(is_accepted.sum())
    precision = float(is_right[is_accepted].mean()) if count else None
    bins = bin_predictions(confidence, is_right)
    return Reliability(
        calibration_error=calibration_error(bins),
        chance_error=chance_error(confidence),
        bins=bins,
        coverage=count / len(is_accepted),
        given_count=count,
        given_precision=precision,
        given_interval=interval_of_share(precision or 0.0, count),
    )


def score(counts: Mapping[tuple[str, str], int]) -> Scores:
    """Computes scores from counts of (label, predicted label).

    A label that is never predicted has precision 0, and a label without images has recall 0.
    """
    from sklearn.metrics import precision_recall_fscore_support  # slow; a day imports no scikit-learn

    support = sum(counts.values())
    if support == 0:
        raise ValueError("there is no holdout image to evaluate on")
    labels = sorted({label for pair in counts for label in pair})
    places = {label: place for place, label in enumerate(labels)}
    pairs, weights = list(zip(*counts, strict=True)), {"labels": labels, "sample_weight": list(counts.values())}
    precision, recall, f1, _ = precision_recall_fscore_support(*pairs, **weights, zero_division=0.0)
    cells = np.array(sorted((places[label], places[predicted], count) for (label, predicted), count in counts.items()))
    own, predicted_counts = (np.bincount(cells[:, axis], cells[:, 2], len(labels)).astype(int) for axis in (0, 1))
    accuracy = float(cells[cells[:, 0] == cells[:, 1], 2].sum() / support)
    low, high = np.quantile(_resample_macro_f1(cells, len(labels)), (0.025, 0.975))
    confusion: dict[str, dict[str, int]] = {label: {} for label in labels}
    for place, predicted, count in cells.tolist():
        confusion[labels[place]][labels[predicted]] = count
    return Scores(
        accuracy=accuracy,
        accuracy_interval=interval_of_share(accuracy, support),
        macro_f1=float(f1.mean()),
        macro_f1_interval=(float(low), float(high)),
        support=support,
        classes={
            label: ClassScore(
                precision=float(precision[place]),
                precision_interval=interval_of_share(float(precision[place]), int(predicted_counts[place])),
                recall=float(recall[place]),
                recall_interval=interval_of_share(float(recall[place]), int(own[place])),
                f1=float(f1[place]),
                support=int(own[place]),
            )
            for place, label in enumerate(labels)
        },
        confusion=confusion,
    )


def confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """Writes the confusion matrix as a Markdown table: a row for each label, a column for each predicted label.

    Of more than `SHOWN_LABELS` labels, it lists the most frequent errors, a row for each.
    """
    labels = list(confusion)
    if len(labels) <= SHOWN_LABELS:
        rows = [[label, *(confusion[label].get(predicted) or "·" for predicted in labels)] for label in labels]
        return markdown_table(["label ↓ predicted →", *map(escape_markdown, labels)], rows)
    errors = ((n, one, other) for one, found in confusion.items() for other, n in found.items() if one != other)
    worst = sorted(errors, key=lambda each: (-each[0], each[1], each[2]))[:SHOWN_LABELS]
    return markdown_table(["label", "predicted", "images"], [[one, other, count] for count, one, other in worst])


def choose_worst(classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Chooses the labels to show: all in their order, or of more than `SHOWN_LABELS` those with the lowest F1."""
    if len(classes) <= SHOWN_LABELS:
        return list(classes)
    return sorted(classes, key=lambda label: (classes[label]["f1"], -classes[label]["support"], label))[:SHOWN_LABELS]


def _resample_macro_f1(cells: np.ndarray, label_count: int) -> np.ndarray:
    """Bootstraps the macro F1, float64 `[RESAMPLE_COUNT]`; memory grows with the cells, not with the square of labels.

    Args:
        cells: row, column and count of each cell of the confusion matrix that is not zero, in order, int `[cells, 3]`.
        label_count: number of labels.
    """
    if tuple(cells[-1, :2]) != (label_count - 1, label_count - 1):
        cells = np.vstack([cells, [label_count - 1, label_count - 1, 0]])  # the last cell draws what the others left
    rows, columns, counts = cells.T
    random, shares, support = np.random.default_rng(0), counts / counts.sum(), counts.sum()
    scores = []
    for start in range(0, RESAMPLE_COUNT, step := max(1, RESAMPLED_CELLS // len(cells))):
        draws = random.multinomial(support, shares, min(step, RESAMPLE_COUNT - start))
        correct, both = np.zeros((2, len(draws), label_count))
        is_correct = rows == columns
        correct[:, rows[is_correct]] = draws[:, is_correct]
        for places in (rows, columns):
            for number, draw in enumerate(draws):
                both[number] += np.bincount(places, draw, label_count)
        scores.append(np.divide(2 * correct, both, out=np.zeros(correct.shape), where=both > 0).mean(axis=1))
    return np.concatenate(scores)
