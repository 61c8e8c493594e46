"""The start of a daemon of Python workers beside the JVM that will need it (`pipeline/warm_daemon.py`)."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pyspark import SparkConf

from pipeline.handover import VARIABLE

AS_SPARK_SETS: Final = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "YES"}
"""Variables of Spark's own daemon that Python and its libraries read when they start."""
GIVEN: Final = "spark.executorEnv."

_waiting: list[subprocess.Popen[bytes]] = []  # their pipes end with this process


@contextmanager
def warm_daemon(conf: SparkConf) -> Iterator[None]:
    """Starts one that a JVM started meanwhile finds; none if these settings give workers more than this process has."""
    if not _is_as_here(dict(conf.getAll())) or not _start():
        yield
        return
    try:
        yield
    finally:
        del os.environ[VARIABLE]  # of this JVM alone


def _is_as_here(settings: dict[str, str]) -> bool:
    """Whether workers are forked from our daemon, in this Python, with the variables of this process."""
    given = {name.removeprefix(GIVEN): text for name, text in settings.items() if name.startswith(GIVEN)}
    return (
        settings.get("spark.python.daemon.module") == "pipeline.daemon"
        and not {"spark.pyspark.python", "spark.pyspark.driver.python"} & settings.keys()
        and settings.get("spark.task.cpus", "1") == AS_SPARK_SETS["OMP_NUM_THREADS"]
        and all(os.environ.get(name) == text for name, text in given.items())
    )


def _start() -> bool:
    folder = tempfile.mkdtemp(prefix="daylight-daemon-")
    place = str(Path(folder) / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(place)
        except OSError:  # a path too long for a socket
            os.rmdir(folder)
            return False
        listener.listen()
        number = listener.fileno()
        command = [sys.executable, "-m", "pipeline.warm_daemon", "pyspark.worker", str(number)]
        process = subprocess.Popen(  # noqa: S603 our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[number],
            process_group=0,
            env={**os.environ, **AS_SPARK_SETS},
        )
    _waiting.append(process)
    os.environ[VARIABLE] = place
    return True
