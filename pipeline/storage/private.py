"""Private APIs of PySpark, all in this file, for the versions it names."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

if TYPE_CHECKING:
    from pyspark.ml.classification import LogisticRegressionModel

PYSPARK_VERSIONS: Final = ("4.0.5", "4.1.4", "4.2.1", "4.3.0")  # this file was checked against them


def activate(session: SparkSession) -> None:
    """Makes a session that another thread started the active one of this thread, whose settings queries follow."""
    if is_remote():
        connect: Any = type(session)
        connect._set_default_and_active_session(session)
    else:
        session._get_j_spark_session_class(session._jvm).setActiveSession(session._jsparkSession)


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


def build_logistic_model(
    spark: SparkSession, weights: np.ndarray, offsets: np.ndarray, uid: str = ""
) -> "LogisticRegressionModel":
    """Makes MLlib's model of a softmax regression from its coefficients.

    Args:
        spark: a session with a JVM.
        weights: float64 `[k, d]`.
        offsets: float64 `[k]`.
        uid: name of the model; empty for a new one.

    Raises:
        NotImplementedError: over Spark Connect, which hides the JVM.
    """
    from pyspark.ml.classification import LogisticRegressionModel  # 0.2 s that readers of tables need not wait
    from pyspark.ml.common import _py2java
    from pyspark.ml.linalg import DenseMatrix, DenseVector
    from pyspark.ml.util import Identifiable

    jvm: Any = getattr(spark, "_jvm", None)
    if jvm is None:
        raise NotImplementedError("Spark Connect cannot make a model from coefficients: choose logistic_regression")
    context, (label_count, dimension) = spark.sparkContext, weights.shape
    matrix = DenseMatrix(label_count, dimension, np.ascontiguousarray(weights).ravel(), True)
    parts = (_py2java(context, part) for part in (matrix, DenseVector(offsets)))
    name = uid or f"{LogisticRegressionModel.__name__}_{Identifiable().uid[-12:]}"
    java_model = jvm.org.apache.spark.ml.classification.LogisticRegressionModel(name, *parts, label_count, True)
    return LogisticRegressionModel(java_model)
