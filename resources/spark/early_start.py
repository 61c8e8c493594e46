"""An early start of Spark: its JVM and Python workers start while a run still imports, reads settings and plans.

Only with a local master, whose JVM serves this process alone. A start that fails is forgotten: the first step that
needs Spark starts it again and raises what went wrong.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from pipeline.storage.private import activate
from resources.spark.warm_start import warm_daemon

RUNS: Final = (
    ("dg", "launch"),
    ("dagster", "api", "execute_run"),
    ("dagster", "asset", "materialize"),
    ("dagster", "job", "execute"),
    ("daylight-job", "daily"),
    ("daylight-job", "training"),
)
"""Commands whose process executes a run."""
CODE_SERVERS: Final = (("dagster", "api", "grpc"), ("dagster", "code-server", "start"))
"""Commands whose child processes execute runs."""
WITHOUT_SPARK: Final = "housekeeping"  # a job
STANDARD_ERROR: Final = 2
CHUNK_BYTES: Final = 2**16

_early: Future[SparkSession | None] | None = None


def executes_run(command: Sequence[str], is_child: bool) -> bool:
    """Whether a process executes a run.

    Args:
        command: the arguments with which it was started, or its parent, program first.
        is_child: whether it was forked or spawned by Python's `multiprocessing`.
    """
    program = Path(command[0])
    words = ("dagster" if program.name == "__main__.py" else program.name, *command[1:])
    return WITHOUT_SPARK not in words and any(
        words[: len(each)] == each for each in (CODE_SERVERS if is_child else RUNS)
    )


def start_early(open_session: Callable[[], SparkSession | None]) -> None:
    """Starts a session in a thread, if this process executes a run and has none yet, as a task on Databricks has.

    Args:
        open_session: starts it; None if the session must not start before it is needed.
    """
    is_child = multiprocessing.parent_process() is not None
    if executes_run(sys.argv, is_child) and SparkSession.getActiveSession() is None:
        start_in_thread(open_session)


def start_in_thread(open_session: Callable[[], SparkSession | None]) -> None:
    """Starts a session in a thread, and then the Python workers, unless a step waits and starts them itself."""
    global _early
    early: Future[SparkSession | None] = Future()
    _early = early

    def start() -> None:
        try:
            session = open_session()
        except Exception:  # noqa: BLE001 raised again where the session is needed
            early.set_result(None)
            return
        is_awaited = _early is not early  # `take_early` clears it before it waits
        early.set_result(session)
        if session and not is_awaited:
            _start_workers(session)

    threading.Thread(target=start, name="early start of Spark", daemon=True).start()


def take_early() -> SparkSession | None:
    """Waits for the session that a thread is starting and returns it, active in this thread; None if there is none.

    Later calls return None.
    """
    global _early
    early, _early = _early, None
    session = early.result() if early else None
    if session:
        activate(session)
    return session


def launch_context(settings: Mapping[str, Any]) -> None:
    """Starts a JVM and a context, whose output goes where that of this process goes when it is written.

    Dagster redirects the output of a run to its page, later than an early start.
    """
    conf = SparkConf().setAll([(name, str(value)) for name, value in settings.items()])
    end, start = os.pipe()
    threading.Thread(target=_forward, args=[end], name="output of Spark", daemon=True).start()
    try:
        with warm_daemon(conf):
            gateway = launch_gateway(conf, {"stdout": start, "stderr": start})
    finally:
        os.close(start)
    SparkContext(conf=conf, gateway=gateway)


def _forward(end: int) -> None:
    with os.fdopen(end, "rb", buffering=0) as output:
        while chunk := output.read(CHUNK_BYTES):
            os.write(STANDARD_ERROR, chunk)


def _start_workers(session: SparkSession) -> None:
    def pass_on(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    try:
        session.range(1, numPartitions=1).mapInArrow(pass_on, "id long").collect()
    except Exception:  # noqa: BLE001 a process that ends, or workers that cannot start: the next job raises it
        return
