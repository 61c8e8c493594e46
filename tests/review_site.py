"""The review page in front of a lake: in a thread of this process, or as the process of `make review`."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from deployment import PROJECT, Deployment
from review_lake import ReviewLake
from servers import free_port

from assets.commands.review import open_site
from resources.review.site import build_app
from resources.settings import read_settings

TOKEN = "a secret"
START_SECONDS = 60


class ReviewSite:
    """A server in a thread of this process, and a browser that has logged in."""

    def __init__(self, lake: ReviewLake, is_read_only: bool = False, root: str = "") -> None:
        self.lake = lake
        self.site = open_site(read_settings().replace(lake=str(lake.root)), "", root, is_read_only)
        self.pages = self.site[0]
        for pages in self.site:
            pages.desk.prepare_groups()
        self.port = free_port()
        self.gate = build_app(self.site, TOKEN, self.port)
        self.server = uvicorn.Server(uvicorn.Config(self.gate, port=self.port, log_level="warning", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.browsers: list[httpx.Client] = []
        self.client = self.connect()
        self.client.get(f"{root}/", params={"token": TOKEN})

    def connect(self) -> httpx.Client:
        """A browser without a cookie."""
        address = f"http://127.0.0.1:{self.port}"
        self.browsers.append(httpx.Client(base_url=address, follow_redirects=True, timeout=START_SECONDS))
        return self.browsers[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for browser in self.browsers:
            browser.close()
        self.server.should_exit = True
        self.thread.join()
        for pages in self.site:
            for images in pages.images.values():
                images.close()
            if pages.log:
                pages.log.close()

    def post(self, path: str, reviewer: str = "anna", **fields: Any) -> Any:
        headers = {"x-daylight-csrf": self.gate.csrf}
        return self.client.post(path, json={"reviewer": reviewer, **fields}, headers=headers)

    def cards(self, reviewer: str = "anna", **options: Any) -> list[dict[str, Any]]:
        return self.client.get("/api/queue", params={"reviewer": reviewer, **options}).json()["cards"]


class ReviewProcess:
    """`make review` as a process of its own, which a test may kill."""

    def __init__(self, lake: Path, *options: str) -> None:
        self.port = free_port()
        deployment = Deployment(lake.parent)
        environment = deployment.environment | {"DAYLIGHT_LAKE": str(lake), "DAYLIGHT_REVIEW_TOKEN": TOKEN}
        command = [sys.executable, "-m", "assets.commands.review", "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.port}"
        self.printed = self._read_address()

    def _read_address(self) -> str:
        assert self.process.stdout
        began, line = time.monotonic(), self.process.stdout.readline()
        assert re.match(r"Review: http://127.0.0.1:\d+/\?token=", line), f"printed {line!r}"
        assert time.monotonic() - began < START_SECONDS
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=START_SECONDS)
