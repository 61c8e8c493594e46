"""Private APIs of PySpark, all in this file, for the versions it names."""

from typing import Any, Final

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.util import Identifiable
from pyspark.sql import SparkSession

PYSPARK_VERSIONS: Final = ("4.0.5", "4.1.4", "4.2.1", "4.3.0")  # this file was checked against them


def has_filesystem(spark: SparkSession, scheme: str) -> bool:
    """Whether Hadoop in Spark's JVM has a file system for a URI scheme; False where Spark Connect hides the JVM."""
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        return False
    try:
        jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, spark.sparkContext._jsc.hadoopConfiguration())
    except Py4JJavaError:
        return False
    return True


def build_logistic_model(spark: SparkSession, weights: np.ndarray, offsets: np.ndarray) -> LogisticRegressionModel:
    """Makes MLlib's model of a softmax regression from its coefficients.

    Args:
        spark: a session with a JVM.
        weights: float64 `[k, d]`.
        offsets: float64 `[k]`.

    Raises:
        NotImplementedError: over Spark Connect, which hides the JVM.
    """
    jvm: Any = getattr(spark, "_jvm", None)
    if jvm is None:
        raise NotImplementedError("Spark Connect cannot make a model from coefficients: choose logistic_regression")
    context, (label_count, dimension) = spark.sparkContext, weights.shape
    matrix = DenseMatrix(label_count, dimension, np.ascontiguousarray(weights).ravel(), True)
    parts = (_py2java(context, part) for part in (matrix, DenseVector(offsets)))
    name = f"{LogisticRegressionModel.__name__}_{Identifiable().uid[-12:]}"
    java_model = jvm.org.apache.spark.ml.classification.LogisticRegressionModel(name, *parts, label_count, True)
    return LogisticRegressionModel(java_model)
