"""Spark Connect: a server without the project gives the same tables as a laptop; the client runs no JVM."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DAY, NEXT_DAY, Deployment, descendants
from servers import Servers, free_port

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1, as `/proc/net` writes them."""


class ConnectServer(Servers):
    """A Connect server with two cores, on the loopback interface."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = free_port()

    def start(self) -> None:
        settings = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.driver.memory": "1g",
            "spark.ui.enabled": "false",
        }
        options = [option for name, value in settings.items() for option in ("--conf", f"{name}={value}")]
        server = ("--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal")
        log = self.launch("spark-submit", "--master", "local[2]", *options, *server, PYSPARK_PYTHON=str(self.python))
        self.wait_for(log, "Spark Connect server started")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    with ConnectServer(tmp_path_factory.mktemp("connect")) as server:
        yield server


def use(server: ConnectServer) -> dict[str, str]:
    return {"DAYLIGHT_SPARK_MASTER": f"sc://127.0.0.1:{server.port}", "JAVA_HOME": "/nowhere"}


def test_a_server_gives_the_same_tables_as_a_laptop(
    server: ConnectServer, deployment: Deployment, expected: dict
) -> None:
    run = deployment.run("daily", DAY, **use(server))
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_server_that_has_predicted_a_day_predicts_the_next(
    server: ConnectServer, deployment: Deployment, expected: dict
) -> None:
    """A new session sends code and graph again under the same names."""
    run = deployment.run("daily", NEXT_DAY, **use(server))
    assert run.is_good, run.text
    assert deployment.all_rows(NEXT_DAY) == expected[NEXT_DAY]


@pytest.mark.usefixtures("spark")
def test_a_classifier_trained_on_a_server_loads_on_a_laptop(server: ConnectServer, deployment: Deployment) -> None:
    shutil.rmtree(deployment.lake / "models" / "classifier")
    for asset in ("classifier", "classifier_candidate"):
        (deployment.lake / "models" / f"{asset}.json").unlink()
    run = deployment.run("training", **use(server))
    assert run.is_good, run.text
    assert deployment.failures("daily", DAY) is None
    assert len(deployment.rows("predictions", DAY)) == 60


def test_a_server_listens_on_loopback_only(server: ConnectServer) -> None:
    found = [address for process in server.processes for address in listening(process.pid)]
    assert f"{server.port:04X}" in {address.rpartition(":")[2] for address in found}
    assert {address.rpartition(":")[0] for address in found} <= LOOPBACK


def listening(root: int) -> list[str]:
    """Lists the addresses on which a process and its descendants listen, in the notation of `/proc/net`."""
    links = [link for pid in [root, *descendants(root)] for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {os.readlink(link) for link in links if link.is_symlink()}
    lines = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]
