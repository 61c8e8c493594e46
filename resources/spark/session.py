"""The Spark session: dagster-pyspark's resource with typed fields; `options.py` makes the settings from them."""

import atexit
import tempfile
from pathlib import Path
from typing import Any, Final

import dagster as dg
import yaml
from dagster_pyspark import PySparkResource
from pydantic import Field, PrivateAttr
from pyspark.sql import SparkSession

from resources.spark.code import pack_pipeline
from resources.spark.early_start import take_early
from resources.spark.executors import check_executors
from resources.spark.interruption import cancel_on_signals
from resources.spark.options import SparkOptions, open_session
from resources.spark.progress import ProgressWatch, prepare_watch

POOL: Final = "spark"  # of every asset and check that starts Spark; dagster.yaml limits the number of such runs
SETTINGS_FILE: Final = Path("spark.yaml")


class SparkResource(PySparkResource):
    """One Spark session per process, started on first use and shared by all steps."""

    master: str = Field(
        default=SparkOptions.master,
        description="Spark master, such as local[*], spark://host:7077 or sc://host (Connect).",
    )
    driver_memory: str = Field(
        default=SparkOptions.driver_memory, description="Heap of the driver; a local master has no other JVM."
    )
    arrow_batch_mebibytes: int = Field(
        default=SparkOptions.arrow_batch_mebibytes,
        description="Maximum size of an Arrow batch sent to Python, whatever its number of rows.",
    )
    partition_mebibytes: int = Field(
        default=SparkOptions.partition_mebibytes, description="Maximum size of the part of a table that one task reads."
    )
    spark_config: dict[str, Any] = Field(
        default_factory=dict, description="Further Spark settings; they override the fields above."
    )

    _watch: ProgressWatch | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Prepares the progress log; starts no session, since a step without Spark must not wait for a JVM."""
        self._watch = None if self.options.is_remote else prepare_watch(context)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Ends the progress log; the session stays for the next run of this process."""
        if self._watch:
            self._watch.close()

    @property
    def spark_session(self) -> SparkSession:
        """The session of this process, started if there is none."""
        session = self._find_session()
        cancel_on_signals(session.interruptAll if self.options.is_remote else session.sparkContext.cancelAllJobs)
        if self._watch:
            self._watch.start(session.sparkContext)
        return session

    def _find_session(self) -> SparkSession:
        options = self.options
        if take_early() or SparkSession.getActiveSession() is not None:
            return open_session(options.session_settings)
        if not options.is_remote:
            options.prepare_process()
        session = open_session(options.settings)
        if options.is_remote:
            atexit.register(session.stop)  # else a model held by a failed run waits for its channel for ever
        if not options.is_local:
            folder = tempfile.TemporaryDirectory(prefix="daylight-code-")
            atexit.register(folder.cleanup)  # not sooner: executors fetch the archive when they start
            session.addArtifacts(str(pack_pipeline(Path(folder.name))), pyfile=True)
            check_executors(session, self.master)
        return session

    def open_early(self) -> SparkSession | None:
        """As `SparkOptions.open_early`."""
        return self.options.open_early()

    @property
    def settings(self) -> dict[str, Any]:
        """All Spark settings, flat or nested as given."""
        return self.options.settings

    @property
    def options(self) -> SparkOptions:
        """The fields, without Dagster."""
        return SparkOptions(
            self.master, self.driver_memory, self.arrow_batch_mebibytes, self.partition_mebibytes, self.spark_config
        )


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
