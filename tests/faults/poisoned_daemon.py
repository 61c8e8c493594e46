"""Spark's daemon with faulty decoders, which its forks inherit."""

from poisons import load_or_die
from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 as in pipeline/daemon.py
from pipeline.embed import attempt

attempt.load = load_or_die

if __name__ == "__main__":
    manager()
