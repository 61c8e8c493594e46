"""The daemon that waits: it ends with its driver, and Spark's own daemon does without it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark import SparkConf

from pipeline.handover import VARIABLE, give_way
from resources.spark.options import SparkOptions
from resources.spark.warm_start import warm_daemon

DRIVER = """
import sys, time
from pyspark import SparkConf
from resources.spark import warm_start

with warm_start.warm_daemon(SparkConf(False).set("spark.python.daemon.module", "pipeline.daemon")):
    print(warm_start._waiting[0].pid, flush=True)
    time.sleep(600)
"""

RUN = """
import time
from resources.spark.early_start import start_in_thread
from resources.spark.session import SparkResource

def name(batches):
    import os
    import pyarrow as pa
    for _ in batches:
        yield pa.RecordBatch.from_pydict({"worker": [os.getpid()], "daemon": [os.getppid()]})

resource = SparkResource(master="local[1]", driver_memory="1g")
start_in_thread(resource.open_early)
spark = resource.spark_session
(row,) = spark.range(1, numPartitions=1).mapInArrow(name, "worker long, daemon long").collect()
print(row.worker, row.daemon, spark.sparkContext._gateway.proc.pid, flush=True)
time.sleep(600)
"""


@contextmanager
def run(code: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Runs a driver until it has printed process ids."""
    environment = {**os.environ, **variables, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process, [int(word) for word in process.stdout.readline().split()]
        process.kill()


def children_of(process: int) -> list[int]:
    lists = [task.read_text().split() for task in Path(f"/proc/{process}/task").glob("*/children")]
    return [int(child) for children in lists for child in children]


def wait_for_end(process: int) -> bool:
    deadline = time.monotonic() + 60
    while (is_there := Path(f"/proc/{process}").exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_there


@pytest.mark.parametrize("seconds", [0, 3])
def test_a_daemon_that_nobody_needs_ends_with_its_driver(seconds: float, tmp_path: Path) -> None:
    with run(DRIVER, TMPDIR=str(tmp_path)) as (driver, (waiting,)):
        time.sleep(seconds)
        assert [folder.stat().st_mode & 0o077 for folder in tmp_path.glob("daylight-daemon-*")] == [0]
        driver.send_signal(signal.SIGKILL)
        assert wait_for_end(waiting)
    assert list(tmp_path.glob("daylight-daemon-*")) == []


def test_a_killed_driver_leaves_neither_jvm_nor_daemon_nor_worker() -> None:
    with run(RUN) as (driver, processes):
        assert "pipeline.warm_daemon" in Path(f"/proc/{processes[1]}/cmdline").read_text()
        (own,) = children_of(processes[2])
        driver.send_signal(signal.SIGKILL)
        assert all(map(wait_for_end, [*processes, own]))


def test_sparks_own_daemon_does_without_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not give_way()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "socket"))
    assert not give_way()


def test_settings_that_give_workers_another_daemon_or_other_variables_start_none() -> None:
    settings = {name: str(text) for name, text in SparkOptions("local[1]").settings.items()}
    for name, text in (
        ("spark.python.daemon.module", "my_daemon"),
        ("spark.executorEnv.MALLOC_ARENA_MAX", "1"),
        ("spark.task.cpus", "2"),
        ("spark.pyspark.python", "/usr/bin/python3"),
    ):
        conf = SparkConf(loadDefaults=False).setAll(list((settings | {name: text}).items()))
        with warm_daemon(conf):
            assert VARIABLE not in os.environ
