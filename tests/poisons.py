"""Poisons: faults of a decoder that certain bytes trigger, and the reasons that their rows must have."""

import ctypes
import os
import signal
import time
from collections.abc import Callable

import numpy as np

from pipeline.embed import attempt
from pipeline.embed.reasons import CRASHED, OUT_OF_MEMORY, TIMED_OUT


def take_memory() -> None:
    hoard = []
    while True:
        hoard.append(np.empty(2**24, np.uint8))  # not zeroed, which takes seconds on a machine that swaps


def wait_forever() -> None:
    while True:
        pass


def raise_something() -> None:
    raise AssertionError("<b>no decoder should</b>")


POISONS: dict[str, tuple[Callable[[], object], str]] = {
    "a segmentation fault": (lambda: ctypes.string_at(0), CRASHED),
    "an abort": (os.abort, CRASHED),
    "an illegal instruction": (lambda: os.kill(os.getpid(), signal.SIGILL), CRASHED),
    "an exit": (lambda: os._exit(0), CRASHED),
    "a loop without end": (wait_forever, TIMED_OUT),
    "a wait without end": (lambda: time.sleep(3600), TIMED_OUT),
    "a stop": (lambda: os.kill(os.getpid(), signal.SIGSTOP), TIMED_OUT),
    "an error that no decoder should raise": (raise_something, CRASHED),
    "all of the memory": (take_memory, OUT_OF_MEMORY),
    "the system's killer": (lambda: os.kill(os.getpid(), signal.SIGKILL), OUT_OF_MEMORY),
}
"""Fault and reason, by the first bytes of the image."""


def poison(name: str, number: int = 0) -> bytes:
    """Bytes of an image that does this to its decoder; another number gives another image."""
    return f"{name}\0{number}".encode()


def load_or_die(content: bytes, *arguments: int) -> object:
    """Replaces `attempt.load`."""
    name = content.partition(b"\0")[0].decode(errors="ignore")
    if name in POISONS:
        POISONS[name][0]()
    return _load(content, *arguments)


_load = attempt.load
