"""Spark servers on the loopback interface, whose Python has the project's packages but not the project."""

import os
import signal
import socket
import subprocess
import sysconfig
import tarfile
import time
import venv
from contextlib import suppress
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path
from typing import Self

import pyspark
from deployment import descendants

from resources.spark.java import java_home
from resources.spark.quick_start import CODE_CACHE

SPARK = Path(pyspark.__file__).parent
PATIENCE_SECONDS = 120

QUICK_JAVA = {"JAVA_TOOL_OPTIONS": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize={CODE_CACHE}"}
"""Variables for short-lived JVMs; a worker passes them on to its executors."""


class Servers:
    """Spark processes in a folder, without the project, that listen on the loopback interface."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen] = []
        self.python = root / "venv" / "bin" / "python"
        venv.create(root / "venv", symlinks=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(root / "venv")})
        # The packages of this environment, without its link to the project.
        Path(packages, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the servers and waits until they are ready."""
        raise NotImplementedError

    def launch(self, command: str, *options: str, **environment: str) -> Path:
        """Starts one of Spark's commands; returns its log."""
        return self.run(str(SPARK / "bin" / command), *options, **environment)

    def run(self, *command: str, **environment: str) -> Path:
        """Starts a command in an environment for Spark; returns its log."""
        file = self.root / f"{len(self.processes)}.log"
        with file.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env={
                    "PATH": "/usr/bin:/bin",
                    "JAVA_HOME": str(java_home()),
                    "SPARK_HOME": str(SPARK),
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    "HOME": str(self.root),
                    **QUICK_JAVA,
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return file

    def wait_for(self, log: Path, text: str, count: int = 1) -> None:
        """Waits until a log contains the text that many times."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while log.read_text(errors="replace").count(text) < count:
            if time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        for process in self.processes:
            for pid in [*descendants(process.pid), process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pack_packages(archive: Path, *names: str) -> None:
    """Packs packages of this environment in the layout of `pip install --target`."""
    with tarfile.open(archive, "w") as packed:
        for file in chain.from_iterable(distribution(name).files or [] for name in names):
            if ".." not in file.parts and Path(file.locate()).is_file():
                packed.add(file.locate(), str(file))
