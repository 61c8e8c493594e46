"""A cluster: a master and two workers as processes that know nothing of the project give the tables of a laptop."""

import os
import signal
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from deployment import DAY, Deployment, command_of, descendants

from resources.java import java_home

SPARK = Path(pyspark.__file__).parent


class Cluster:
    """A standalone master and two workers of one core each, on this machine alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.processes: list[subprocess.Popen] = []
        self.python = root / "venv" / "bin" / "python"
        venv.create(root / "venv", symlinks=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(root / "venv")})
        # The packages of the project's environment, without the link to the project itself.
        Path(packages, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")

    @property
    def master(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._start("master.Master", "--host", "127.0.0.1", "--port", str(self.port), "--webui-port", str(free_port()))
        for number in range(2):
            work = self.root / f"work-{number}"
            web = str(free_port())
            words = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", web)
            self._start("worker.Worker", *words, "--work-dir", str(work), self.master)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if (self.root / "master.Master.log").read_text().count("Registering worker") == 2:
                return
            time.sleep(0.2)
        raise AssertionError((self.root / "master.Master.log").read_text()[-3000:])

    def _start(self, name: str, *words: str) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(SPARK / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *words],
                cwd=self.root,
                env={
                    "PATH": "/usr/bin:/bin",
                    "JAVA_HOME": str(java_home()),
                    "SPARK_HOME": str(SPARK),
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    "HOME": str(self.root),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)

    def executors(self) -> list[int]:
        below = [pid for process in self.processes for pid in descendants(process.pid)]
        return [pid for pid in below if "CoarseGrainedExecutorBackend" in command_of(pid)]

    def stop(self) -> None:
        for process in self.processes:
            for pid in [*descendants(process.pid), process.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def use(cluster: Cluster, deployment: Deployment) -> dict[str, str]:
    deployment.set_spark(spark_executor_memory="700m", spark_pyspark_python=str(cluster.python))
    return {"DAYLIGHT_SPARK_MASTER": cluster.master}


def test_the_python_of_the_executors_does_not_know_the_project(cluster: Cluster) -> None:
    code = "import pyspark, pipeline"
    said = subprocess.run([str(cluster.python), "-c", code], capture_output=True, cwd="/", text=True, check=False)
    assert "No module named 'pipeline'" in said.stderr


def test_a_cluster_gives_the_tables_of_a_laptop(cluster: Cluster, deployment: Deployment, expected: dict) -> None:
    run = deployment.run("daily", DAY, **use(cluster, deployment))
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_an_executor_that_is_killed_costs_time_and_no_row(
    cluster: Cluster, deployment: Deployment, expected: dict
) -> None:
    run = deployment.start("daily", DAY, **use(cluster, deployment))
    deadline = time.monotonic() + 120
    while not cluster.executors() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    os.kill(cluster.executors()[0], signal.SIGKILL)
    run.wait()
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]
