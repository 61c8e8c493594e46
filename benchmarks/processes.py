"""Processes: what a contestant costs, with everything it starts, whether it waits for that or not.

The JVM, Spark's Python workers and Ray's daemons outlive or leave their parents. This process therefore adopts orphans
(Linux's child subreaper), waits for each, and adds up what the kernel says they used.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.sampler import Sampler, list_descendants

PR_SET_CHILD_SUBREAPER: Final = 36
GRACE_SECONDS: Final = (60.0, 5.0)
"""In which what a contestant left behind may end by itself, as a JVM does, and again each time it was told to."""


class ContestantError(RuntimeError):
    """A contestant failed or took far too long; the text ends with what it said."""


@dataclass(frozen=True)
class Cost:
    """What a contestant took.

    Attributes:
        cpu_seconds: user and system, of all its processes.
        untold_cpu_seconds: what of it the kernel told nobody, and the sampler saw.
        wall_seconds: from its start to its own end; what it left behind is not waited for.
        peak_mebibytes: the largest peak of one process, by kind.
        stopped_count: how many processes it left behind that had to be stopped.
    """

    cpu_seconds: float
    untold_cpu_seconds: float
    wall_seconds: float
    peak_mebibytes: dict[str, float]
    stopped_count: int


def run(command: Sequence[str], cores: int, environment: Mapping[str, str], log: Path, limit_seconds: float) -> Cost:
    """Runs a contestant on so many cores until nothing of it is left.

    Raises:
        ContestantError: where it ends with another code than 0, or not within the limit.
    """
    adopt_orphans()
    started = time.monotonic()
    with log.open("wb") as output, _pinned(cores):
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)  # noqa: S603 our own words
    reaped: dict[int, float] = {}
    with Sampler(process.pid, limit_seconds) as sampler:
        process.returncode = _wait_for(process.pid, reaped)
        wall_seconds = time.monotonic() - started
        stopped_count = _wait_for_orphans(reaped)
    if process.returncode:
        reason = f"did not end within {limit_seconds:.0f} s" if sampler.is_late else f"ended with {process.returncode}"
        raise ContestantError(f"{' '.join(command)} {reason}:\n{log.read_text(errors='replace')[-3000:]}")
    untold = sampler.untold_seconds(reaped)
    return Cost(sum(reaped.values()) + untold, untold, wall_seconds, sampler.peak_mebibytes, stopped_count)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system has no child subreaper: the benchmarks need Linux")


@contextmanager
def _pinned(cores: int) -> Iterator[None]:
    """Lets what is started meanwhile use so many cores only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _wait_for(wanted: int, reaped: dict[int, float]) -> int:
    """Waits for a child and notes its CPU-seconds, and those of orphans that end before it; gives its exit code."""
    while True:
        pid, status, usage = os.wait4(-1, 0)
        reaped[pid] = usage.ru_utime + usage.ru_stime
        if pid == wanted:
            return os.waitstatus_to_exitcode(status)


def _wait_for_orphans(reaped: dict[int, float]) -> int:
    """Notes the CPU-seconds of all that was left behind; gives how many processes had to be stopped."""
    grace, grace_when_told = GRACE_SECONDS
    has_ended = _wait_until(time.monotonic() + grace, reaped)
    stopped: set[int] = set()
    word = signal.SIGTERM
    while not has_ended:
        for pid in list_descendants(os.getpid()):
            stopped.add(pid)
            with suppress(ProcessLookupError):  # reaped by its own parent meanwhile
                os.kill(pid, word)
        has_ended = _wait_until(time.monotonic() + grace_when_told, reaped)
        word = signal.SIGKILL
    return len(stopped)


def _wait_until(deadline: float, reaped: dict[int, float]) -> bool:
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid:
            reaped[pid] = usage.ru_utime + usage.ru_stime
        else:
            time.sleep(0.02)
    return False
