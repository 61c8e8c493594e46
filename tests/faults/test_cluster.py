"""A cluster of one master and two workers without the project gives the same tables as a laptop."""

import os
import signal
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DAY, Deployment, command_of, descendants
from servers import QUICK_JAVA, Servers, free_port, pack_packages

PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "pandas", "pillow", "pyarrow", "simplejpeg")
"""Packages that executors need besides Spark, as in docs/operations.md."""

DEPENDENCIES = ("python-dateutil", "pytz", "six", "tzdata")
"""Dependencies of these packages."""


class Cluster(Servers):
    """A standalone master and two workers with one core each, on the loopback interface."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = free_port()

    @property
    def master(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def start(self) -> None:
        master = "org.apache.spark.deploy.master.Master"
        options = ("--host", "127.0.0.1", "--port", str(self.port), "--webui-port", str(free_port()))
        log = self.launch("spark-class", master, *options)
        for number in range(2):
            work = self.root / f"work-{number}"
            web = str(free_port())
            options = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", web)
            worker = "org.apache.spark.deploy.worker.Worker"
            self.launch("spark-class", worker, *options, "--work-dir", str(work), self.master)
        self.wait_for(log, "Registering worker", 2)

    def executors(self) -> list[int]:
        below = [pid for process in self.processes for pid in descendants(process.pid)]
        return [pid for pid in below if "CoarseGrainedExecutorBackend" in command_of(pid)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def use(cluster: Cluster, deployment: Deployment, python: str = "") -> dict[str, str]:
    deployment.set_spark(spark_executor_memory="700m", spark_pyspark_python=python or str(cluster.python))
    return {"DAYLIGHT_SPARK_MASTER": cluster.master, **QUICK_JAVA}


def test_the_python_of_the_executors_lacks_the_project(cluster: Cluster) -> None:
    code = "import pyspark, pipeline"
    done = subprocess.run([str(cluster.python), "-c", code], capture_output=True, cwd="/", text=True, check=False)
    assert "No module named 'pipeline'" in done.stderr


def test_a_cluster_gives_the_same_tables_as_a_laptop(cluster: Cluster, deployment: Deployment, expected: dict) -> None:
    run = deployment.run("daily", DAY, **use(cluster, deployment))
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_killed_executor_costs_time_and_no_row(cluster: Cluster, deployment: Deployment, expected: dict) -> None:
    earlier = {*cluster.executors()}
    run = deployment.start("daily", DAY, **use(cluster, deployment))
    executor = run.find_in(lambda: {*cluster.executors()} - earlier)
    time.sleep(3)
    os.kill(executor, signal.SIGKILL)
    run.wait()
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_python_that_executors_cannot_run_is_one_sentence(cluster: Cluster, deployment: Deployment) -> None:
    run = deployment.run("daily", DAY, **use(cluster, deployment, "/nowhere/python"))
    assert f"SparkStartError: the executors of {cluster.master} cannot run Python for Daylight (Cannot run" in run.text
    assert "set PYSPARK_PYTHON, which is /nowhere/python, or spark.pyspark.python in spark.yaml" in run.text
    assert "\tat " not in run.text


def test_executors_find_their_packages_in_an_archive(
    cluster: Cluster, deployment: Deployment, expected: dict, tmp_path: Path
) -> None:
    archive = tmp_path / "packages.tar"
    pack_packages(archive, *PACKAGES, *DEPENDENCIES)
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)
    deployment.set_spark(
        spark_executor_memory="700m",
        spark_archives=f"{archive}#packages",
        spark_executorEnv_PYTHONPATH="./packages",
        spark_pyspark_python=str(bare / "bin" / "python"),
    )
    run = deployment.run("daily", DAY, DAYLIGHT_SPARK_MASTER=cluster.master, **QUICK_JAVA)
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]
