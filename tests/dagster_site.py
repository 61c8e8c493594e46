"""A Dagster started by `make dev`, in a folder with its own instance, landing zone and lake."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from deployment import PROJECT, Deployment, descendants
from web_pages import WebPages

LINKED = ("Makefile", "pyproject.toml", "requirements.lock", "workspace.yaml", "assets", "pipeline", "resources")
PATIENCE_SECONDS = 180


class Site:
    """A clone of the project made of links, in a deployment's folder, and the processes of `make dev` in it."""

    def __init__(self, deployment: Deployment, **environment: str) -> None:
        self.deployment = deployment
        self.root = deployment.root
        self.port = free_port()
        self.log = self.root / "dev.log"
        self.environment = deployment.environment | {"DAGSTER_HOME": str(self.root), **environment}
        for name in LINKED:
            (self.root / name).symlink_to(PROJECT / name)
        (self.root / ".venv").symlink_to(sys.prefix)
        (self.root / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts `make dev`, and waits until the code location is loaded and the daemons are healthy."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["make", "-o", ".venv/installed", "dev", f"PORT={self.port}"],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started = {self.process.pid}
        self.wait_until(self._is_ready, "no page was served", seconds=300)
        self.started |= set(descendants(self.process.pid))

    def stop(self, number: signal.Signals = signal.SIGTERM, patience_seconds: float = 60) -> set[int]:
        """Stops `make dev`; kills and returns the processes that outlive its patience."""
        self.started |= set(descendants(self.process.pid))
        os.killpg(self.process.pid, number) if number == signal.SIGINT else self.process.send_signal(number)
        deadline = time.monotonic() + patience_seconds
        while self.left() and time.monotonic() < deadline:
            self.process.poll()
            time.sleep(0.2)
        left = self.left()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return left

    def left(self) -> set[int]:
        """Returns the processes of `make dev` that are alive."""
        return {pid for pid in self.started if is_alive(pid)}

    @property
    def pages(self) -> WebPages:
        return WebPages(self.query)

    def query(self, query: str, **variables: object) -> dict[str, Any]:
        """Queries the webserver as its page does."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]

    def wait_until(self, holds: Callable[[], object], otherwise: str, seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{otherwise}:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.5)

    def _is_ready(self) -> bool:
        try:
            answer = self.query(
                "{ assetNodes { id } instance { daemonHealth { allDaemonStatuses { healthy required } } } }"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        return bool(answer["assetNodes"]) and all(each["healthy"] for each in daemons if each["required"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return re.search(r"\) Z ", status) is None
