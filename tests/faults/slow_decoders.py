"""Spark's daemon with slow decoders, which its forks inherit."""

import os
import time

from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 as in pipeline/daemon.py
from pipeline.embed import attempt

_load = attempt.load


def load_slowly(*arguments: object) -> object:
    time.sleep(float(os.environ["IMAGE_SECONDS"]))
    return _load(*arguments)


attempt.load = load_slowly

if __name__ == "__main__":
    manager()
