"""Labelled predictions: predictions of a classifier beside the true labels, on the driver."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.ranked import MANY, TOP, group_sizes, rank
from pipeline.storage.vectors import to_matrix


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions of a classifier of k classes for n labelled images.

    An image takes about 100 + 8 k bytes; with ranked probabilities 400, whatever k is.

    Attributes:
        image_ids: digests, str `[n]`.
        labels: true labels, str `[n]`.
        predicted: predicted labels, str `[n]`.
        classes: the classes.
        probabilities: float64 `[n, k]`, in the order of the classes; or `[n, m]` of `ranked.rank`.
        places: classes of the first ranked columns, int32 `[n, TOP]`; None unless probabilities are ranked.
        columns: ranked column of each label, int32 `[n]`; None unless probabilities are ranked.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    places: np.ndarray | None = None
    columns: np.ndarray | None = None

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.image_ids)

    @property
    def is_right(self) -> np.ndarray:
        """Whether each prediction is correct, bool `[n]`."""
        return self.predicted == self.labels

    @property
    def confidence(self) -> np.ndarray:
        """Probability of each predicted label, float64 `[n]`."""
        return self.probabilities.max(axis=1, initial=0.0)

    @property
    def label_index(self) -> np.ndarray:
        """Column of each label among the probabilities, int `[n]`; -1 for a label that is no class."""
        return index_labels(self.labels, self.classes) if self.columns is None else self.columns

    @property
    def by_label(self) -> "LabelledPredictions":
        """These predictions; of sets, whether each label that holds was found."""
        return self

    @property
    def by_answer(self) -> "LabelledPredictions":
        """These predictions; of sets, one for each image and label."""
        return self

    @property
    def by_set(self) -> "LabelledPredictions":
        """These predictions; of sets, one for each image, with the sets as classes."""
        return self

    @property
    def sizes(self) -> np.ndarray | None:
        """Number of classes that each column stands for, float64 `[m]`; None if each stands for one."""
        return None if self.places is None else group_sizes(len(self.classes))

    def class_of(self, columns: np.ndarray) -> np.ndarray:
        """Class of one column of each image, str `[n]`; of a group of classes, the most probable class of all."""
        names = np.array(self.classes, object)
        if self.places is None:
            return names[columns]
        is_top = columns < self.places.shape[1]
        return names[self.places[np.arange(len(self)), np.where(is_top, columns, 0)]]

    def sample_labels(self, count: int) -> dict[str, str]:
        """Returns labels by digest, for the smallest digests: a random sample that is stable when images are added."""
        first = np.argsort(self.image_ids)[:count]
        return dict(zip(self.image_ids[first].tolist(), self.labels[first].tolist(), strict=True))

    def to_table(self) -> pa.Table:
        """Converts to a table, with a column `probabilities` in the order of the classes, or ranked beside `places`."""
        columns = {"image_id": self.image_ids, "label": self.labels, "predicted_label": self.predicted}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        table = table.append_column("probabilities", _to_lists(self.probabilities))
        if self.places is not None:
            table = table.append_column("places", _to_lists(self.places)).append_column(
                "column", pa.array(self.columns)
            )
        return table.replace_schema_metadata({"classes": json.dumps(self.classes)})


def index_labels(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Finds the index of each label among the classes, int64 `[n]`; -1 for a label that is no class."""
    index = {label: number for number, label in enumerate(classes)}
    return np.array([index.get(label, -1) for label in labels], np.int64)


def rank_predictions(predictions: LabelledPredictions) -> LabelledPredictions:
    """Ranks the probabilities of more than `MANY` classes; returns others as they are."""
    if len(predictions.classes) <= MANY:
        return predictions
    probabilities, places, columns = rank(predictions.probabilities, predictions.label_index)
    return replace(predictions, probabilities=probabilities, places=places, columns=columns)


def collect_predictions(predicted: DataFrame, classes: Sequence[str]) -> LabelledPredictions:
    """Collects predictions of `classifier.predict` for labelled images on the driver, in the order of their digests.

    A class that the classifier lacks gets probability 0.
    """
    shares = F.array(*(F.coalesce(F.col("probabilities")[label], F.lit(0.0)) for label in classes))
    columns = predicted.select("image_id", "label", "predicted_label", shares.alias("probabilities"))
    return from_table(columns.toArrow().sort_by("image_id"), classes)


def join_predictions(parts: Sequence[LabelledPredictions]) -> LabelledPredictions:
    """Joins predictions for different images by classifiers of the same classes."""
    names = ["image_ids", "labels", "predicted", "probabilities"]
    names += ["places", "columns"] if parts[0].places is not None else []
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return type(parts[0])(classes=parts[0].classes, **joined)


def _to_lists(matrix: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), max(1, matrix.shape[1]))


def from_table(table: pa.Table, classes: Sequence[str]) -> LabelledPredictions:
    """Converts a table of `to_table` back."""
    columns = ("image_id", "label", "predicted_label")
    ids, labels, predicted = (np.array(table[name].to_pylist(), object) for name in columns)
    is_ranked = "places" in table.column_names
    width = len(group_sizes(len(classes))) if is_ranked else len(classes)
    probabilities = to_matrix(table["probabilities"], np.float64).reshape(table.num_rows, width)
    found = LabelledPredictions(ids, labels, predicted, tuple(classes), probabilities)
    if not is_ranked:
        return found
    places = to_matrix(table["places"], np.int32).reshape(table.num_rows, TOP)
    return replace(found, places=places, columns=table["column"].to_numpy())
