"""Images of the page: re-encoded by worker processes, and the newest kept in memory."""

import json
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import astuple
from threading import Lock
from typing import Final

from pipeline.embed.limits import Limits
from pipeline.reviews.answers import Key
from resources.review.image_worker import LENGTH

SIDES: Final = {"large": 1024, "small": 320}
"""Sides of the square that an image fits, in pixels, by the name of the size."""
KEPT_BYTES: Final = 2**26  # of JPEGs of each size


class ImageError(RuntimeError):
    """A worker that ended without an answer."""


class Images:
    """The images of one size, those of a question and those of days; safe in threads."""

    def __init__(self, lake: str, side: int, limits: Limits, prefix: str = "") -> None:
        """Starts the worker, so that it is ready when the first page asks."""
        self._command = [sys.executable, "-m", "resources.review.image_worker", lake, str(side)]
        self._command += [json.dumps(astuple(limits)), "--prefix", prefix]
        self._lock = Lock()
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._worker = self._start()

    def get(self, key: Key) -> bytes:
        """Returns an image as JPEG; empty if it is unknown, purged or cannot be decoded.

        Raises:
            ImageError: if the worker ended twice.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            try:
                content = self._ask(key)
            except ImageError:
                self.close()
                self._worker = self._start()
                content = self._ask(key)
            if content:
                self._keep(key, content)
            return content

    def close(self) -> None:
        """Ends the worker."""
        self._worker.kill()
        with suppress(BrokenPipeError):  # a request that the worker never read
            self._worker.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C reaches the server alone, which ends it.
        return subprocess.Popen(  # noqa: S603 our own module
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def _ask(self, key: Key) -> bytes:
        requests, responses = self._worker.stdin, self._worker.stdout
        assert requests is not None  # noqa: S101 both are pipes
        assert responses is not None  # noqa: S101
        try:
            requests.write(json.dumps(str(key)).encode() + b"\n")
            requests.flush()
        except OSError as error:
            raise ImageError("the image worker has ended") from error
        header = responses.read(LENGTH.size)
        if len(header) < LENGTH.size:
            raise ImageError("the image worker has ended")
        (length,) = LENGTH.unpack(header)
        return responses.read(length)

    def _keep(self, key: Key, content: bytes) -> None:
        self._kept[key] = content
        self._kept_bytes += len(content)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
