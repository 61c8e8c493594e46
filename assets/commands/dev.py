"""The command `make dev`: runs Dagster's UI and daemon, once per instance, and lists the runs that outlive them."""

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import TextIO

import dagster as dg

HOST = "127.0.0.1"


def main() -> None:
    """Runs `dg dev` until SIGINT or SIGTERM, and exits with its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default=3000, type=int)
    port = parser.parse_args().port
    check_port(port)
    lock = lock_instance()
    # After `make dev &` the shell has SIGINT ignored, and then Dagster would ignore every signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--no-check-yaml", "--host", HOST]
    # Dagster holds the lock too: it goes on if this process is killed.
    dagster = subprocess.Popen([*command, "--port", str(port)], pass_fds=[lock.fileno()])  # noqa: S603 arguments of this file
    write_holder(lock, dagster.pid)

    def end(number: int, frame: FrameType | None) -> None:
        dagster.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # a terminal sends it to Dagster too
    status = dagster.wait()
    print(describe_runs(), end="")
    sys.exit(status)


def check_port(port: int) -> None:
    """Exits with a sentence if the port cannot be used."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            sys.exit(f"port {port} of {HOST} cannot be used ({reason}): choose another, as in make dev PORT=3005")


def lock_instance() -> TextIO:
    """Locks the Dagster instance until this process and those that inherit the lock have ended.

    Exits with a sentence if another process holds it: the daemons of both would fight.
    """
    with dg.DagsterInstance.get() as instance:
        folder = Path(instance.storage_directory())
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "make-dev.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        sys.exit(
            f"another make dev, process {holder}, runs on this Dagster instance ({folder.resolve().parent}): use its"
            f" page, or stop it first with kill {holder}"
        )
    write_holder(lock, os.getpid())
    return lock


def write_holder(lock: TextIO, process: int) -> None:
    """Notes which process holds the lock."""
    lock.truncate(0)
    lock.write(str(process))
    lock.flush()


def describe_runs() -> str:
    """Lists the runs that are still going; empty if there are none."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(under_way)
    lines = "".join(f"  {run.run_id}  {run.job_name}\n" for run in runs)
    return f"These runs continue in the background, and the next `make dev` shows them:\n{lines}" if runs else ""


if __name__ == "__main__":
    main()
