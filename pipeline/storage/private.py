"""Private APIs of PySpark, all in this file, for the version it names."""

from typing import Final

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

PYSPARK_VERSION: Final = "4.3.0"  # this file was checked against it


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
