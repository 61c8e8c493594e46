"""An early start of Spark: only in processes of runs, one kind of Python workers, output where a run expects it."""

import json
import os
import subprocess
import sys
from threading import Event, Timer
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
from pyspark.sql import SparkSession

from resources.spark import early_start
from resources.spark.early_start import executes_run, start_early, start_in_thread, take_early
from resources.spark.session import SparkResource

JOB = """
import json
import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from resources.spark.early_start import start_in_thread
from resources.spark.session import SparkResource

resource = SparkResource(master="local[2]", driver_memory="1g")
start_in_thread(resource.open_early)
from pipeline.storage.local_frames import make_frame
from pipeline.storage.columns.schema import parse_schema


def speak(batches):
    print("a worker speaks", file=sys.stderr, flush=True)
    yield from batches


def name_parent(batches):
    import pyarrow as pa

    for batch in batches:
        parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\\0")
        grandparent = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
        row = {"parent": parent[2].decode(), "grandparent": grandparent, "seed": os.environ["PYTHONHASHSEED"]}
        yield pa.RecordBatch.from_pylist([row | {"process": os.getppid(), "argument": parent[3].decode()}])


PARENT = "parent string, grandparent long, seed string, process long, argument string"


def list_daemons():
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\\0")
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            is_forked = b"pipeline.daemon" in Path("/proc", parent, "cmdline").read_bytes().split(b"\\0")
            ours = Path("/proc", parent, "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())
        except OSError:
            continue
        if b"pipeline.daemon" in command and not is_forked and ours:
            found.append(process.name)
    return found


page = os.open("page", os.O_WRONLY | os.O_CREAT)
os.dup2(page, 2)  # as Dagster does when a run begins, long after the process
spark = resource.spark_session
frame = make_frame(spark, parse_schema("a int comment 'one'"), [{"a": 1}, {"a": 2}])
(forking,) = spark.range(1, numPartitions=1).mapInArrow(name_parent, PARENT).collect()
report = {
    "forking": forking.asDict(),
    "process": os.getpid(),
    "variable": os.environ.get("_WARM_DAEMON"),
    "is_active": SparkSession.getActiveSession() is not None,
    "zone": spark.conf.get("spark.sql.session.timeZone"),
    "rows": [row.asDict() for row in frame.mapInArrow(speak, "a int").collect()],
    "empty": make_frame(spark, frame.schema).collect(),
    "comment": frame.schema["a"].metadata,
    "daemons": list_daemons(),
    "same": resource.spark_session is spark,
}
os.kill(forking.process, 9)
rows = spark.range(40, numPartitions=8).mapInArrow(name_parent, PARENT).collect()
report["after"] = len(rows)
Path("report.json").write_text(json.dumps(report))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Facts of a process that starts Spark early, and all that its page shows in the end."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "job.py").write_text(JOB)
    done = subprocess.run(
        [sys.executable, "job.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + (folder / "page").read_text()
    return {**json.loads((folder / "report.json").read_text()), "page": (folder / "page").read_text()}


def test_a_session_that_started_early_is_the_one_that_steps_use(started: dict[str, Any]) -> None:
    assert started["is_active"]
    assert started["same"]
    assert started["zone"] == "UTC"


def test_rows_of_the_driver_become_a_frame_without_a_second_kind_of_python_workers(started: dict[str, Any]) -> None:
    assert started["rows"] == [{"a": 1}, {"a": 2}]
    assert started["empty"] == []
    assert started["comment"] == {"comment": "one"}
    assert len(started["daemons"]) == 1


def test_workers_are_forked_from_a_daemon_that_imported_while_the_jvm_started(started: dict[str, Any]) -> None:
    assert (started["forking"]["parent"], started["forking"]["argument"]) == ("pipeline.warm_daemon", "pyspark.worker")
    assert started["forking"]["grandparent"] == started["process"]
    assert started["forking"]["seed"] == "0"
    assert started["variable"] is None, "it is of the first JVM alone"


def test_a_daemon_that_is_killed_costs_no_task(started: dict[str, Any]) -> None:
    assert started["after"] == 8


def test_output_of_workers_goes_where_the_run_sends_its_own(started: dict[str, Any]) -> None:
    assert "a worker speaks" in started["page"]


def test_a_start_that_fails_is_left_to_the_first_step() -> None:
    def fail() -> None:
        raise OSError("no room")

    start_in_thread(fail)
    assert take_early() is None


@pytest.mark.parametrize("is_awaited", [True, False])
def test_workers_start_early_only_if_no_step_waits_for_the_session(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, is_awaited: bool
) -> None:
    began, is_taken = Event(), Event()
    warmed: list[SparkSession] = []
    monkeypatch.setattr(early_start, "_start_workers", warmed.append)

    def open_session() -> SparkSession:
        began.set()
        assert is_taken.wait(10)
        return spark

    start_in_thread(open_session)
    assert began.wait(10)
    (thread,) = [each for each in enumerate_threads() if each.name == "early start of Spark"]
    if is_awaited:
        Timer(0.2, is_taken.set).start()
        assert take_early() is spark
    else:
        is_taken.set()
        thread.join(10)
        assert take_early() is spark
    thread.join(10)
    assert warmed == ([] if is_awaited else [spark])


def test_a_process_that_has_a_session_starts_no_other(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[SparkSession] = []
    monkeypatch.setattr("sys.argv", ["/venv/bin/daylight-job", "daily"])
    start_early(lambda: opened.append(spark))
    assert take_early() is None
    assert opened == []


def test_a_session_on_a_cluster_waits_for_its_first_step() -> None:
    assert SparkResource(master="spark://host:7077").open_early() is None
    assert SparkResource(master="sc://host").open_early() is None


def test_spark_may_start_before_dagster_is_imported() -> None:
    look = "import sys, resources.spark.options; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


@pytest.mark.parametrize(
    ("command", "is_child", "expected"),
    [
        (["/venv/bin/dg", "launch", "--job", "daily"], False, True),
        (["/venv/bin/dg", "launch", "--job", "housekeeping"], False, False),
        (["/venv/bin/dagster", "job", "execute", "-j", "daily"], False, True),
        (["/venv/lib/dagster/__main__.py", "api", "execute_run", "{}"], False, True),
        (["/venv/lib/dagster/__main__.py", "api", "grpc", "--port", "1"], True, True),
        (["/venv/lib/dagster/__main__.py", "api", "grpc", "--port", "1"], False, False),
        (["/venv/bin/dg", "dev"], False, False),
        (["/venv/bin/dg", "check", "defs"], False, False),
        (["/venv/bin/pytest"], True, False),
        ([""], False, False),
    ],
)
def test_only_processes_of_runs_start_early(command: list[str], is_child: bool, expected: bool) -> None:
    assert executes_run(command, is_child) == expected
