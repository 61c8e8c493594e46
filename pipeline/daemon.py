"""The daemon that forks Spark's Python workers, with what they need imported before, once instead of once in each.

Of a local master; a cluster's workers may not have this package before the first task (`resources/spark/options.py`).
"""

import gc
import sys
from pathlib import Path

gc.disable()  # imports drop nothing
_LIBRARIES = Path("pyspark", "python", "lib").parts
# archives of the sources that are installed too, which Python would compile again at every start
sys.path[:] = [place for place in sys.path if Path(place).parts[-4:-1] != _LIBRARIES]

import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 what workers run

if __name__ == "__main__":
    gc.freeze()  # else workers look through all of it after every task
    gc.enable()
    manager()
