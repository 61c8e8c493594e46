"""Spark's names of paths and URIs, and which of them it can read."""

import re
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from pipeline.storage.object_stores import is_uri
from pipeline.storage.private import has_filesystem


def spark_path(path: str) -> str:
    """Escapes a path for Spark, which treats brackets as a glob pattern."""
    return re.sub(r"([][{}*?])", r"\\\1", path)


def spark_uri(uri: str) -> str:
    """Converts a URI to Hadoop's scheme; a path becomes one of this machine, whatever Hadoop's default is."""
    if uri.startswith("/"):
        return f"file://{uri}"  # Hadoop decodes no %20
    return uri.replace("s3://", "s3a://", 1) if uri.startswith("s3://") else uri


def spark_reads(spark: SparkSession, folder: str) -> bool:
    """Whether Spark itself can read the folder; for an object store, whether the connector's jars are installed."""
    if not is_uri(folder):
        return True
    return has_filesystem(spark, urlsplit(spark_uri(folder)).scheme)
