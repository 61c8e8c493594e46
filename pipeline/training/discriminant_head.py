"""Linear discriminant analysis as an MLlib estimator: the executors sum, the driver solves.

The result is MLlib's `LogisticRegressionModel`, which plain Spark loads, and which Daylight exports to ONNX.
"""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.ml import Estimator
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.param import Param, TypeConverters
from pyspark.ml.param.shared import HasFeaturesCol, HasLabelCol
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.counting import only_row
from pipeline.storage.private import build_logistic_model
from pipeline.storage.vectors import to_matrix
from pipeline.training.linear_discriminant import Moments, add_vectors, fit_discriminant, no_moments

MAX_TASKS: Final = 4  # each returns the sums of all labels: 70 MB of 5,000 labels and 1,280 features
SHRINKAGE: Final = 0.3


class LinearDiscriminant(Estimator[LogisticRegressionModel], HasFeaturesCol, HasLabelCol):
    """Fits labels that are normal with one shrunk covariance; `fit_discriminant` has the definition."""

    def __init__(self, featuresCol: str = "features", labelCol: str = "label") -> None:
        """Names the columns: a vector, and the index of the label as a double."""
        super().__init__()
        self.shrinkage: Param[float] = Param(self, "shrinkage", "share of the identity, 0 to 1", TypeConverters.toFloat)
        self._setDefault(shrinkage=SHRINKAGE)
        self._set(featuresCol=featuresCol, labelCol=labelCol)

    def _fit(self, dataset: DataFrame) -> LogisticRegressionModel:
        vectors = dataset.select(
            vector_to_array(F.col(self.getFeaturesCol()), "float32").alias("vector"),
            F.col(self.getLabelCol()).cast("int").alias("label"),
        )
        shape = only_row(vectors.select(F.max("label") + 1, F.max(F.size("vector"))))
        moments = sum_moments(vectors, *shape)
        fitted = fit_discriminant(moments, self.getOrDefault(self.shrinkage))
        model = build_logistic_model(dataset.sparkSession, fitted.weights, fitted.offsets)
        return model.setFeaturesCol(self.getFeaturesCol())


def sum_moments(vectors: DataFrame, label_count: int, dimension: int) -> Moments:
    """Sums a frame of `vector`, arrays of floats, and `label`, an index, on the executors."""

    def add_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        moments = no_moments(label_count, dimension)
        for batch in batches:
            add_vectors(moments, to_matrix(batch["vector"]), batch["label"].to_numpy())
        yield pa.RecordBatch.from_pydict({"part": [part.tobytes() for part in astuple(moments)]})

    parts = vectors.coalesce(MAX_TASKS).mapInArrow(add_batches, "part binary").toLocalIterator()
    arrays = (np.frombuffer(row["part"], np.float64) for row in parts)
    total = no_moments(label_count, dimension)
    for counts in arrays:
        sums, scatter = next(arrays).reshape(label_count, dimension), next(arrays).reshape(dimension, dimension)
        total += Moments(counts, sums, scatter)
    return total
