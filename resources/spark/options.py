"""The settings of a Spark session, from the fields of `session.py`, and its early start; imports no Dagster.

A process that starts Spark before it imports Dagster needs no more than this.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyspark
from pyspark.sql import SparkSession

import pipeline  # noqa: F401 sets the environment that executors share
from resources.spark.early_start import launch_context
from resources.spark.environment import prepare_environment
from resources.spark.java import java_home, temporary_files
from resources.spark.java_variables import leave_room
from resources.spark.quick_start import quick_start_options

ATTEMPTS: Final = 4  # at a task whose worker was killed, as on a cluster; the default of a local master is one
MAX_LISTED_FILES: Final = 500  # of a table, by the driver itself; beyond, Spark starts a job with a task per file

_SHARED: Final = ("ARROW_DEFAULT_MEMORY_POOL", "ORT_DISABLE_TELEMETRY")
"""Variables that `pipeline` sets itself, and that a cluster must set before a Spark worker imports it."""
_LOCAL_SETTINGS: Final = {
    "spark.python.daemon.module": "pipeline.daemon",
    "spark.hadoop.fs.defaultFS": "file:///",  # whatever HADOOP_CONF_DIR says: paths are of this machine
}
SPLITTING: Final = (4, 3)  # Spark 4.3 decodes vectors in batches, 4.0 cannot, 4.1 and 4.2 were not tried
_LOCAL: Final = re.compile(r"^local\[(\*|\d+)\]$")
_LOGGING: Final = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True)
class SparkOptions:
    """What a deployment chooses, and its defaults; `SparkResource` describes the same fields."""

    master: str = "local[*]"
    driver_memory: str = "3g"
    arrow_batch_mebibytes: int = 1
    partition_mebibytes: int = 32
    spark_config: Mapping[str, Any] = field(default_factory=dict)

    def open_early(self) -> SparkSession | None:
        """Starts the session of this process before a step needs it; None if its JVM would serve other processes too.

        Raises:
            SparkStartError: if Spark cannot start.
        """
        if not self.is_local:
            return None
        self.prepare_process()
        settings = self.settings
        launch_context(settings)
        return open_session(settings)

    @property
    def settings(self) -> dict[str, Any]:
        """All Spark settings, flat or nested as given."""
        return {**({} if self.is_remote else self._process_settings), **self.session_settings}

    @property
    def session_settings(self) -> dict[str, Any]:
        """Settings that can change while Spark runs; computing them needs no Java."""
        mebibyte = 2**20
        return {
            **({"spark.remote": self.master} if self.is_remote else {}),
            "spark.sql.execution.arrow.maxBytesPerBatch": self.arrow_batch_mebibytes * mebibyte,
            "spark.sql.files.maxPartitionBytes": self.partition_mebibytes * mebibyte,
            "spark.sql.files.openCostInBytes": mebibyte // 4,
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": 8,
            "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
            **choose_reader(pyspark.__version__),
            **({"spark.sql.sources.parallelPartitionDiscovery.threshold": MAX_LISTED_FILES} if self.is_local else {}),
            **self.spark_config,
        }

    @property
    def is_local(self) -> bool:
        """Whether driver and executors share one process on this machine."""
        return self.master.startswith("local")

    @property
    def is_remote(self) -> bool:
        """Whether the driver is a Connect server; then this process starts no JVM."""
        return self.master.startswith("sc://")

    @property
    def _process_settings(self) -> dict[str, Any]:
        """Settings that are fixed when Spark's processes start; a Connect server has its own."""
        return {
            "spark.app.name": "daylight",
            "spark.master": _LOCAL.sub(rf"local[\1,{ATTEMPTS}]", self.master),
            "spark.driver.memory": self.driver_memory,
            "spark.driver.extraJavaOptions": " ".join(map(_quote, self._java_options)),
            "spark.sql.warehouse.dir": f"file://{tempfile.gettempdir()}/daylight-spark-warehouse",  # unused, but made
            "spark.ui.showConsoleProgress": "false",
            **{f"spark.executorEnv.{name}": os.environ[name] for name in _SHARED},
            **(_LOCAL_SETTINGS if self.is_local else {}),
        }

    @property
    def _java_options(self) -> list[str]:
        """Options for quiet logging, no warning about a missing native BLAS, and a quick start with a local master."""
        native = "true" if find_library("blas") else "false"
        home = java_home()
        quick = quick_start_options(home) if self.is_local else []
        heap = str(self._given.get("spark.driver.memory", self.driver_memory))
        return [
            *leave_room(home / "bin" / "java", heap, quick),
            *temporary_files(),
            f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
            *(f"-Ddev.ludovic.netlib.{library}.allowNative={native}" for library in ("blas", "lapack", "arpack")),
        ]

    def prepare_process(self) -> None:
        """Sets the variables that Spark reads when its JVM starts."""
        prepare_environment(str(self._given.get("spark.master", self.master)), self._given.get("spark.pyspark.python"))
        os.environ["JAVA_HOME"] = str(java_home())

    @property
    def _given(self) -> dict[str, Any]:
        """The further settings, flat."""
        return dict(flatten(self.spark_config))


def choose_reader(version: str) -> dict[str, str]:
    """Settings of a Spark whose vectorized reader cannot decode vectors (BYTE_STREAM_SPLIT): it reads them by row."""
    is_old = tuple(map(int, version.split(".")[:2])) < SPLITTING
    return {"spark.sql.parquet.enableNestedColumnVectorizedReader": "false"} if is_old else {}


def _quote(option: str) -> str:
    """Quotes an option for Spark, which splits the line as a shell does."""
    return f'"{option}"' if " " in option else option


def open_session(settings: Mapping[str, Any]) -> SparkSession:
    """Starts a session, or gives these settings to the one of this process."""
    builder = SparkSession.builder
    for name, value in flatten(settings).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Joins the names of nested settings by dots; that of dagster-spark imports Dagster."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = flatten(value) if isinstance(value, Mapping) else None
        flat |= {name: value} if nested is None else {f"{name}.{each}": below for each, below in nested.items()}
    return flat
