"""Answers: what a classifier said of labelled pictures, side by side with their labels, on the driver.

What is told from them is `evaluation.py`, `calibration.py`, `promotion.py` and `label_issues.py`.
"""

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
    """Answers to n labelled pictures by a classifier of k classes; some 100 + 8 k bytes a picture.

    Attributes:
        image_ids: of the pictures.
        labels: what they are.
        predicted: what was answered.
        classes: the labels that can be answered.
        probabilities: float64 `[n, k]`, in the order of the classes.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.image_ids)

    @property
    def is_right(self) -> np.ndarray:
        """Bool `[n]`: whether the answer is the label."""
        return self.predicted == self.labels

    @property
    def confidence(self) -> np.ndarray:
        """float64 `[n]`: probability of the answer."""
        return self.probabilities.max(axis=1, initial=0.0)

    @property
    def label_index(self) -> np.ndarray:
        """int64 `[n]`: place of the label among the classes; -1 where the classifier does not know it."""
        return index_of(self.labels, self.classes)

    def sample_labels(self, count: int) -> dict[str, str]:
        """Labels by digest of the pictures with the smallest ones: a random sample that stays put when others come."""
        first = np.argsort(self.image_ids)[:count]
        return dict(zip(self.image_ids[first].tolist(), self.labels[first].tolist(), strict=True))

    def to_table(self) -> pa.Table:
        """The same as a table, with a column `probabilities` in the order of the classes."""
        shares = pa.FixedSizeListArray.from_arrays(pa.array(self.probabilities.ravel()), max(1, len(self.classes)))
        columns = {"image_id": self.image_ids, "label": self.labels, "predicted_label": self.predicted}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        told = {"classes": json.dumps(self.classes)}
        return table.append_column("probabilities", shares).replace_schema_metadata(told)


def predictions_of(table: pa.Table) -> LabelledPredictions:
    """The answers of which this is the table."""
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
    """Brings answers to the driver, in the order of their digests.

    Args:
        predicted: labelled pictures as `classifier.predict` answers them.
        classes: the labels that can be answered; one that the classifier does not have has the probability 0.
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
    """Answers to other pictures, of the same classes, as one."""
    return LabelledPredictions(
        image_ids=np.concatenate([part.image_ids for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        classes=parts[0].classes,
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def index_of(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Places of labels among the classes; -1 where one is not there."""
    places = {label: index for index, label in enumerate(classes)}
    return np.array([places.get(label, -1) for label in labels], np.int64)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist(), object)
