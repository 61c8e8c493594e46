"""Sent arrays: matrices that workers map into memory from a file, so that all workers of a machine share them."""

import atexit
import hashlib
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from pyspark import SparkFiles
from pyspark.sql import SparkSession

_sent: dict[str, Path] = {}  # by name, of the driver, to which Spark Connect gives no files


def send_array(spark: SparkSession, array: np.ndarray) -> str:
    """Sends an array to the workers and returns the file name there: its digest, since Spark sends no name twice.

    The file stays until the driver ends, because executors fetch it when they start.
    """
    name = f"array-{hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:32]}.npy"
    path = _folder() / name
    if not path.exists():
        np.save(path, array, allow_pickle=False)
    _sent[name] = path
    spark.addArtifacts(str(path), file=True)
    return name


def open_sent(name: str) -> np.ndarray:
    """Opens a sent array on a worker, or on the driver that sent it, read-only."""
    return np.asarray(np.load(_sent.get(name) or SparkFiles.get(name), mmap_mode="r"))


@cache
def _folder() -> Path:
    """Creates one folder for this process: Spark refuses a file of the same name from another folder."""
    folder = tempfile.TemporaryDirectory(prefix="daylight-arrays-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
