"""A cluster of one master and two workers without the project gives the same tables as a laptop."""

import math
import os
import signal
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import DAY, Deployment, command_of, descendants
from servers import QUICK_JAVA, Servers, free_port, pack_packages

PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "pandas", "pillow", "pyarrow", "simplejpeg")
"""Packages that executors need besides Spark, as in docs/operations.md."""

EXECUTOR_ROOT = os.environ.get("EXECUTOR_ROOT", "")
"""Folder with the root file system of deploy/executor.Containerfile; `make test-executors` sets it."""

ENTER = """
root=$1 shared=$2 java=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
exec /usr/sbin/chroot "$root" /usr/bin/env -i PATH=/opt/daylight/bin:/usr/bin:/bin HOME=/tmp "$java" \\
  SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_DIRS="$shared" JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64 \\
  SPARK_HOME=/opt/daylight/lib/python3.11/site-packages/pyspark "$@"
"""
"""Runs a command in a read-only root file system, with a folder of this machine."""

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
            work = str(self.root / f"work-{number}")
            web = str(free_port())
            options = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", web, "--work-dir", work)
            self.start_worker("org.apache.spark.deploy.worker.Worker", *options, self.master)
        self.wait_for(log, "Registering worker", 2)

    def start_worker(self, *arguments: str) -> None:
        self.launch("spark-class", *arguments)

    def executors(self) -> list[int]:
        below = [pid for process in self.processes for pid in descendants(process.pid)]
        return [pid for pid in below if "CoarseGrainedExecutorBackend" in command_of(pid)]


class ContainerCluster(Cluster):
    """Its workers, and so its executors, see the container's root file system, read-only, and the deployments."""

    def start_worker(self, *arguments: str) -> None:
        options = (str(EXECUTOR_ROOT), str(self.root.parent), f"JAVA_TOOL_OPTIONS={QUICK_JAVA['JAVA_TOOL_OPTIONS']}")
        self.run("unshare", "--mount", "--fork", "sh", "-euc", ENTER, "enter", *options, "spark-class", *arguments)


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


@pytest.fixture(scope="module")
def container_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerCluster]:
    if not EXECUTOR_ROOT:
        pytest.skip("EXECUTOR_ROOT is not set: run make test-executors EXECUTOR_ROOT=<folder> (docs/containers.md)")
    with ContainerCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_executors_in_their_container_give_the_same_tables_as_a_laptop(
    container_cluster: ContainerCluster, deployment: Deployment, expected: dict
) -> None:
    assert not [*Path(EXECUTOR_ROOT).glob("opt/daylight/lib/python*/site-packages/tensorflow")]
    run = deployment.start("daily", DAY, **use(container_cluster, deployment, "/opt/daylight/bin/python"))
    executor = run.find_in(container_cluster.executors)
    assert Path(f"/proc/{executor}/root").samefile(EXECUTOR_ROOT)
    run.wait()
    assert run.is_good, run.text
    assert is_close(deployment.all_rows(DAY), expected[DAY])


def is_close(left: Any, right: Any) -> bool:
    """Whether two nested values are equal, but for the last bits of numbers: the container has another Java."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_close(each, right[key]) for key, each in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(is_close, left, right))
    return bool(left == right)
