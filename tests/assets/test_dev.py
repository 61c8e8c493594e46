"""`make dev`: it listens on the loopback interface only, and ends with all its processes."""

import re
import signal
import socket
from pathlib import Path

import dagster as dg
import pytest
from dagster_site import Site
from deployment import PROJECT, Deployment

from assets.commands.dev import HOST, describe_runs

LOOPBACK = {"127.0.0.1", "::1"}


def listening(pids: set[int]) -> set[str]:
    """Returns the addresses on which processes listen."""
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", str(link.readlink())))}
    addresses = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            if state == "0A" and others[5] in sockets:
                digits = bytes.fromhex(local.partition(":")[0])
                address = b"".join(digits[at : at + 4][::-1] for at in range(0, len(digits), 4))
                addresses.add(socket.inet_ntop(family, address))
    return addresses


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_listens_on_loopback_only_and_ends_with_all_its_processes(number: signal.Signals, tmp_path: Path) -> None:
    with Site(Deployment(tmp_path)) as site:
        assert listening(site.started) == {HOST}
        assert not site.stop(number)
    assert "continue in the background" not in site.log.read_text()


def test_every_server_of_the_makefile_listens_on_loopback_only() -> None:
    hosts = re.findall(r"--host (\S+)", (PROJECT / "Makefile").read_text())
    assert hosts
    assert {*hosts, HOST} <= LOOPBACK


def test_runs_that_continue_are_listed(tmp_path: Path) -> None:
    @dg.job
    def nothing() -> None: ...

    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        assert describe_runs() == ""
        run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
        assert f"{run.run_id}  nothing" in describe_runs()
