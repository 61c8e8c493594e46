"""The daemon that forks Spark's Python workers, with what they need imported before, once instead of once in each.

Of a local master; a cluster's workers may not have this package before the first task (`resources/spark/session.py`).
"""

import gc

from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 what workers run

if __name__ == "__main__":
    gc.freeze()  # else workers look through all of it after every task
    manager()
