"""The Spark session: dagster-pyspark's resource with typed fields, the right Python and Java, and quiet logging."""

import atexit
import os
import re
import tempfile
from ctypes.util import find_library
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pyspark
import yaml
from dagster_pyspark import PySparkResource
from dagster_pyspark.resources import spark_session_from_config
from dagster_spark.utils import flatten_dict
from pydantic import Field, PrivateAttr
from pyspark.sql import SparkSession

import pipeline  # noqa: F401 sets the environment that executors share
from resources.spark.code import pack_pipeline
from resources.spark.early_start import launch_context, take_early
from resources.spark.environment import prepare_environment
from resources.spark.executors import check_executors
from resources.spark.interruption import cancel_on_signals
from resources.spark.java import java_home, quick_start_options, temporary_files
from resources.spark.java_variables import leave_room
from resources.spark.progress import ProgressWatch, prepare_watch

POOL: Final = "spark"  # of every asset and check that starts Spark; dagster.yaml limits the number of such runs
SETTINGS_FILE: Final = Path("spark.yaml")
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


class SparkResource(PySparkResource):
    """One Spark session per process, started on first use and shared by all steps."""

    master: str = Field(
        default="local[*]", description="Spark master, such as local[*], spark://host:7077 or sc://host (Connect)."
    )
    driver_memory: str = Field(default="3g", description="Heap of the driver; a local master has no other JVM.")
    arrow_batch_mebibytes: int = Field(
        default=1, description="Maximum size of an Arrow batch sent to Python, whatever its number of rows."
    )
    partition_mebibytes: int = Field(default=32, description="Maximum size of the part of a table that one task reads.")
    spark_config: dict[str, Any] = Field(
        default_factory=dict, description="Further Spark settings; they override the fields above."
    )

    _watch: ProgressWatch | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Prepares the progress log; starts no session, since a step without Spark must not wait for a JVM."""
        self._watch = None if self.is_remote else prepare_watch(context)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Ends the progress log; the session stays for the next run of this process."""
        if self._watch:
            self._watch.close()

    @property
    def spark_session(self) -> SparkSession:
        """The session of this process, started if there is none."""
        session = self._find_session()
        cancel_on_signals(session.interruptAll if self.is_remote else session.sparkContext.cancelAllJobs)
        if self._watch:
            self._watch.start(session.sparkContext)
        return session

    def _find_session(self) -> SparkSession:
        if take_early() or SparkSession.getActiveSession() is not None:
            return spark_session_from_config(self._session_settings)
        if not self.is_remote:
            self._prepare_process()
        session = spark_session_from_config(self.settings)
        if self.is_remote:
            atexit.register(session.stop)  # else a model held by a failed run waits for its channel for ever
        if not self.is_local:
            folder = tempfile.TemporaryDirectory(prefix="daylight-code-")
            atexit.register(folder.cleanup)  # not sooner: executors fetch the archive when they start
            session.addArtifacts(str(pack_pipeline(Path(folder.name))), pyfile=True)
            check_executors(session, self.master)
        return session

    def open_early(self) -> SparkSession | None:
        """Starts the session of this process before a step needs it; None if its JVM would serve other processes too.

        Raises:
            SparkStartError: if Spark cannot start.
        """
        if not self.is_local:
            return None
        self._prepare_process()
        settings = self.settings
        launch_context(settings)
        return spark_session_from_config(settings)

    @property
    def settings(self) -> dict[str, Any]:
        """All Spark settings, flat or nested as given."""
        return {**({} if self.is_remote else self._process_settings), **self._session_settings}

    @property
    def _session_settings(self) -> dict[str, Any]:
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

    def _prepare_process(self) -> None:
        """Sets the variables that Spark reads when its JVM starts."""
        prepare_environment(str(self._given.get("spark.master", self.master)), self._given.get("spark.pyspark.python"))
        os.environ["JAVA_HOME"] = str(java_home())

    @property
    def _given(self) -> dict[str, Any]:
        """The further settings, flat."""
        return dict(flatten_dict(self.spark_config))


def choose_reader(version: str) -> dict[str, str]:
    """Settings of a Spark whose vectorized reader cannot decode vectors (BYTE_STREAM_SPLIT): it reads them by row."""
    is_old = tuple(map(int, version.split(".")[:2])) < SPLITTING
    return {"spark.sql.parquet.enableNestedColumnVectorizedReader": "false"} if is_old else {}


def _quote(option: str) -> str:
    """Quotes an option for Spark, which splits the line as a shell does."""
    return f'"{option}"' if " " in option else option


def read_spark_settings(file: Path = SETTINGS_FILE) -> dict[str, Any]:
    """Reads further Spark settings, flat or nested, from a file such as `spark.yaml`.

    Raises:
        ValueError: if the file is not YAML or not a mapping.
    """
    if not file.exists():
        return {}
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file} must map Spark settings to values, such as spark.executor.memory: 4g")
    return settings
