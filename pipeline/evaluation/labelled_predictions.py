"""Labelled predictions: predictions of a classifier beside the true labels, on the driver."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.vectors import to_matrix


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions of a classifier of k classes for n labelled images; about 100 + 8 k bytes per image.

    Attributes:
        image_ids: digests of the images.
        labels: true labels.
        predicted: predicted labels.
        classes: labels that the classifier can predict.
        probabilities: float64 `[n, k]`, in the order of the classes.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray

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
        """Index of each label among the classes, int64 `[n]`; -1 for a label that is not one."""
        return index_of(self.labels, self.classes)

    def sample_labels(self, count: int) -> dict[str, str]:
        """Returns labels by digest, for the smallest digests: a random sample that is stable when images are added."""
        first = np.argsort(self.image_ids)[:count]
        return dict(zip(self.image_ids[first].tolist(), self.labels[first].tolist(), strict=True))

    def to_table(self) -> pa.Table:
        """Converts to a table, with a column `probabilities` in the order of the classes."""
        shares = pa.FixedSizeListArray.from_arrays(pa.array(self.probabilities.ravel()), max(1, len(self.classes)))
        columns = {"image_id": self.image_ids, "label": self.labels, "predicted_label": self.predicted}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        metadata = {"classes": json.dumps(self.classes)}
        return table.append_column("probabilities", shares).replace_schema_metadata(metadata)


def predictions_of(table: pa.Table) -> LabelledPredictions:
    """Converts a table of `to_table` back."""
    classes = json.loads(table.schema.metadata[b"classes"])
    shares = to_matrix(table["probabilities"], np.float64)
    return LabelledPredictions(
        image_ids=_texts(table["image_id"]),
        labels=_texts(table["label"]),
        predicted=_texts(table["predicted_label"]),
        classes=tuple(classes),
        probabilities=shares.reshape(table.num_rows, len(classes)),
    )


def collect_predictions(predicted: DataFrame, classes: Sequence[str]) -> LabelledPredictions:
    """Collects predictions on the driver, in the order of their digests.

    Args:
        predicted: labelled images with predictions of `classifier.predict`.
        classes: labels of the result; a label that the classifier lacks gets probability 0.
    """
    shares = F.array(*(F.coalesce(F.col("probabilities")[label], F.lit(0.0)) for label in classes))
    columns = predicted.select("image_id", "label", "predicted_label", shares.alias("shares"))
    table = columns.toArrow().sort_by("image_id")
    values = to_matrix(table["shares"], np.float64)
    return LabelledPredictions(
        image_ids=_texts(table["image_id"]),
        labels=_texts(table["label"]),
        predicted=_texts(table["predicted_label"]),
        classes=tuple(classes),
        probabilities=values.reshape(table.num_rows, len(classes)),
    )


def join_predictions(parts: Sequence[LabelledPredictions]) -> LabelledPredictions:
    """Joins predictions for different images by classifiers of the same classes."""
    return LabelledPredictions(
        image_ids=np.concatenate([part.image_ids for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        classes=parts[0].classes,
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def index_of(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Finds the index of each label among the classes; -1 for a label that is not one."""
    places = {label: index for index, label in enumerate(classes)}
    return np.array([places.get(label, -1) for label in labels], np.int64)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist(), object)
