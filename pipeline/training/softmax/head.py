"""The softmax head: a fitted logistic regression as NumPy applies it, in workers and on the driver.

MLlib makes a Java object of every feature: 8,000 images of 1,280 features took it 1.65 s, and take 0.4 here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString, Normalizer, StandardScalerModel, StringIndexerModel, VectorAssembler
from pyspark.sql import SparkSession

from pipeline.evaluation.ranked import MANY
from pipeline.storage.sent_arrays import open_sent, send_array
from pipeline.storage.vectors import to_matrix
from pipeline.training.softmax.regression import SoftmaxRegression

_kept: WeakKeyDictionary[LogisticRegressionModel, SoftmaxRegression] = WeakKeyDictionary()
LABEL: Final = "predicted_label"
_WITHOUT_EFFECT: Final = (StringIndexerModel, VectorAssembler)
"""Stages that change no feature."""


@dataclass(frozen=True)
class SoftmaxHead:
    """The labels of a model, and the regression that it applies to features."""

    labels: list[str]
    regression: SoftmaxRegression
    is_normalized: bool  # whether features are scaled to length 1 first

    @property
    def is_many(self) -> bool:
        """Whether it has more than `MANY` labels."""
        return len(self.labels) > MANY

    def predict(self, features: pa.ListArray | pa.ChunkedArray) -> np.ndarray:
        """Computes probabilities, float64 `[n, k]`, of lists of which none is null.

        Those of an image are the same in any batch, to the last digit, unless the labels are many.
        """
        if not len(features):
            return np.empty((0, len(self.labels)))
        vectors = to_matrix(features, np.float64)
        if self.is_normalized:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1)
        return self.regression.predict(vectors) if self.is_many else self.regression.predict_each(vectors)


def keep_regression(model: LogisticRegressionModel, regression: SoftmaxRegression) -> None:
    """Keeps the coefficients of a model that was built from them: to ask the JVM for 5,000 labels takes 2.6 s."""
    _kept[model] = regression


@lru_cache(maxsize=2)
def find_softmax_head(model: PipelineModel) -> SoftmaxHead | None:
    """Reads the coefficients of a logistic regression of labels; None for another model."""
    *stages, head, decoder = model.stages
    if not isinstance(head, LogisticRegressionModel) or head.isSet("threshold") or head.isSet("thresholds"):
        return None
    if cast("IndexToString", decoder).getOutputCol() != LABEL:  # the answer of a question about sets
        return None
    regression = _kept.get(head) or SoftmaxRegression(head.coefficientMatrix.toArray(), head.interceptVector.toArray())
    weights = np.ascontiguousarray(regression.weights)  # the order in memory decides the last digits of a product
    offsets = regression.offsets
    if len(weights) == 1:  # of two labels MLlib keeps the weights of the second
        weights, offsets = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, offsets)
    is_normalized = False
    for stage in stages:
        if isinstance(stage, StandardScalerModel):
            deviations = stage.std.toArray()
            weights = weights * np.divide(1, deviations, out=np.zeros_like(deviations), where=deviations != 0)
            offsets = offsets - weights @ stage.mean.toArray()
        elif isinstance(stage, Normalizer):
            is_normalized = True
        elif not isinstance(stage, _WITHOUT_EFFECT):
            return None
    labels = list(cast("IndexToString", decoder).getLabels())
    return SoftmaxHead(labels, SoftmaxRegression(weights, offsets), is_normalized)


def send_head(spark: SparkSession, head: SoftmaxHead) -> Callable[[], SoftmaxHead]:
    """Sends a head to the workers, and returns the function that opens it there."""
    labels, is_normalized = head.labels, head.is_normalized
    sent = send_array(spark, head.regression.weights), send_array(spark, head.regression.offsets)
    return lambda: SoftmaxHead(labels, SoftmaxRegression(*map(open_sent, sent)), is_normalized)
