"""Labelled predictions: predictions of a classifier beside the true labels, on the driver."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.vectors import to_matrix

LEVEL: Final = "level"


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions of a classifier of k classes for n labelled images; about 100 + 8 k bytes per image."""

    image_ids: np.ndarray  # digests, str `[n]`
    labels: np.ndarray  # true labels, str `[n]`
    predicted: np.ndarray  # predicted labels, str `[n]`
    classes: tuple[str, ...]
    probabilities: np.ndarray  # float64 `[n, k]`, in the order of the classes

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
        index = {label: number for number, label in enumerate(self.classes)}
        return np.array([index.get(label, -1) for label in self.labels], np.int64)

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


def table_of_levels(levels: Sequence[LabelledPredictions]) -> pa.Table:
    """Converts predictions of the same classes to one table, with the number of each in a column `level`."""
    tables = [
        level.to_table().append_column(LEVEL, pa.array([number] * len(level), pa.int8()))
        for number, level in enumerate(levels)
    ]
    return pa.concat_tables(tables)


def levels_of(table: pa.Table) -> tuple[LabelledPredictions, ...]:
    """Converts a table of `table_of_levels` back; without the column, it is one level."""
    classes = json.loads(table.schema.metadata[b"classes"])
    if LEVEL not in table.column_names:
        return (_convert(table, classes),)
    count = 1 + (pc.max(table[LEVEL]).as_py() or 0)
    return tuple(_convert(table.filter(pc.equal(table[LEVEL], number)), classes) for number in range(count))


def collect_predictions(predicted: DataFrame, classes: Sequence[str]) -> LabelledPredictions:
    """Collects predictions of `classifier.predict` for labelled images on the driver, in the order of their digests.

    A class that the classifier lacks gets probability 0.
    """
    shares = F.array(*(F.coalesce(F.col("probabilities")[label], F.lit(0.0)) for label in classes))
    columns = predicted.select("image_id", "label", "predicted_label", shares.alias("probabilities"))
    return _convert(columns.toArrow().sort_by("image_id"), classes)


def join_predictions(parts: Sequence[LabelledPredictions]) -> LabelledPredictions:
    """Joins predictions for different images by classifiers of the same classes."""
    return LabelledPredictions(
        image_ids=np.concatenate([part.image_ids for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        classes=parts[0].classes,
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def _convert(table: pa.Table, classes: Sequence[str]) -> LabelledPredictions:
    columns = ("image_id", "label", "predicted_label")
    ids, labels, predicted = (np.array(table[name].to_pylist(), object) for name in columns)
    probabilities = to_matrix(table["probabilities"], np.float64).reshape(table.num_rows, len(classes))
    return LabelledPredictions(ids, labels, predicted, tuple(classes), probabilities)
