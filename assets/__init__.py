"""What exists, from what, when, and what must hold. `definitions.py` is the code location that Dagster loads."""

from resources.spark.python_path import keep_own_spark

keep_own_spark()  # before anything imports Spark
