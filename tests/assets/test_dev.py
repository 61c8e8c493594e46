"""`make dev`: it listens on the loopback interface only, and ends with all its processes."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster_site import Site, free_port
from deployment import PROJECT, Deployment
from dotenv import dotenv_values

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


def start_again(site: Site, port: int) -> subprocess.CompletedProcess[str]:
    command = ["make", "-o", ".venv/installed", "dev", f"PORT={port}"]
    return subprocess.run(
        command, cwd=site.root, env=site.environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_second_one_on_the_same_instance_ends_at_once_and_names_the_first(tmp_path: Path) -> None:
    with Site(Deployment(tmp_path)) as site:
        second = start_again(site, free_port())
        holder = int(re.search(r"another make dev, process (\d+), runs on this Dagster instance", second.stderr)[1])
        assert second.returncode != 0
        assert holder in site.started
        taken = start_again(site, site.port)
        assert f"port {site.port} of 127.0.0.1 cannot be used (Address already in use)" in taken.stderr
        assert taken.returncode != 0
        assert "Launching Dagster" not in second.stderr + taken.stderr
        assert site.left() == site.started, "the first one goes on"


@pytest.mark.parametrize("port", ["70000", "three"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assets.commands.dev", "--port", port]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert done.returncode != 0
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    code = "import os; from assets.commands.dev import lock_instance; lock = lock_instance(); os.kill(os.getpid(), 9)"
    environment = {"PYTHONPATH": str(PROJECT), "DAGSTER_HOME": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr


def make_env_file(folder: Path) -> Path:
    (folder / "Makefile").symlink_to(PROJECT / "Makefile")
    subprocess.run(["make", ".env"], cwd=folder, check=True, env={"PATH": os.environ["PATH"]})
    return folder / ".env"


def test_an_exported_dagster_home_wins_over_the_env_file(tmp_path: Path) -> None:
    make_env_file(tmp_path)
    exported = tmp_path / "exported"
    exported.mkdir()
    command = [str(Path(sys.executable).with_name("dagster")), "instance", "info"]
    environment = {"DAGSTER_HOME": str(exported)}
    info = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert f"$DAGSTER_HOME: {exported}\n" in info.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", {"DAGSTER_HOME": "{folder}"}),
        ("DAGSTER_HOME={folder}\n", {"DAGSTER_HOME": "{folder}"}),
        ("A=b\nDAGSTER_HOME={folder}\n", {"A": "b", "DAGSTER_HOME": "{folder}"}),
        ("DAGSTER_HOME=/my/own\n", {"DAGSTER_HOME": "/my/own"}),
    ],
)
def test_the_env_file_of_an_earlier_version_is_renewed_and_keeps_what_users_wrote(
    before: str, after: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(before.format(folder=tmp_path))
    os.utime(tmp_path / ".env", (0, 0))
    file = make_env_file(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dotenv_values(file) == {name: value.format(folder=tmp_path) for name, value in after.items()}


def test_make_keeps_an_exported_dagster_home(tmp_path: Path) -> None:
    (tmp_path / "Makefile").symlink_to(PROJECT / "Makefile")
    (tmp_path / "more.mk").write_text("include Makefile\nshow: ; @echo $$DAGSTER_HOME\n")
    for given, expected in (({"DAGSTER_HOME": "/exported"}, "/exported"), ({}, str(tmp_path))):
        environment = {"PATH": os.environ["PATH"], **given}
        command = ["make", "-s", "-f", "more.mk", "show"]
        shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == expected


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
