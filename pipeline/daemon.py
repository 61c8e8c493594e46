"""The daemon that forks Spark's Python workers, with what they need imported before, once instead of once in each.

Of a local master; a cluster's workers may not have this package before the first task (`resources/spark/options.py`).
"""

import gc
import sys

from pipeline.handover import give_way, leave_out_archives

if __name__ == "__main__" and give_way():
    sys.exit()

gc.disable()  # imports drop nothing
sys.path[:] = leave_out_archives(sys.path)

import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 what workers run


def run() -> None:
    """Forks workers until Spark ends."""
    gc.freeze()  # else workers look through all of it after every task
    gc.enable()
    manager()


if __name__ == "__main__":
    run()
