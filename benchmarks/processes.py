"""Processes: the cost of a command with all processes that it starts, including those that it does not wait for.

The JVM, Spark's Python workers and Ray's daemons outlive or leave their parents. This process therefore adopts orphans
(Linux's child subreaper), waits for each, and sums the resource usage that the kernel reports.
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
EXIT_SECONDS: Final = 60.0
"""Time for orphans, such as a JVM, to end by themselves."""

SIGNAL_SECONDS: Final = 5.0
"""Time to end after a signal."""


class CandidateError(RuntimeError):
    """A candidate failed or timed out; the message ends with its output."""


@dataclass(frozen=True)
class Cost:
    """Resources that a command used.

    Attributes:
        cpu_seconds: user and system time of all processes.
        sampled_cpu_seconds: the part of it that the kernel reported to no process, as sampled.
        wall_seconds: from start to exit of the command; orphans are not waited for.
        peak_mebibytes: largest peak memory of one process, by kind.
        stopped_count: number of orphans that had to be stopped.
    """

    cpu_seconds: float
    sampled_cpu_seconds: float
    wall_seconds: float
    peak_mebibytes: dict[str, float]
    stopped_count: int


def run_command(
    command: Sequence[str], cores: int, environment: Mapping[str, str], log: Path, limit_seconds: float
) -> Cost:
    """Runs a command on a number of cores until all its processes have ended.

    Raises:
        CandidateError: if it exits with a code other than 0 or exceeds the limit.
    """
    adopt_orphans()
    started = time.monotonic()
    with log.open("wb") as output, _pinned(cores):
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)  # noqa: S603 trusted
    reaped: dict[int, float] = {}
    with Sampler(process.pid, limit_seconds) as sampler:
        process.returncode = _wait_for(process.pid, reaped)
        wall_seconds = time.monotonic() - started
        stopped_count = _wait_for_orphans(reaped)
    if process.returncode:
        reason = f"took over {limit_seconds:.0f} s" if sampler.is_late else f"exited with {process.returncode}"
        raise CandidateError(f"{' '.join(command)} {reason}:\n{log.read_text(errors='replace')[-3000:]}")
    sampled = sampler.unreported_seconds(reaped)
    return Cost(sum(reaped.values()) + sampled, sampled, wall_seconds, sampler.peak_mebibytes, stopped_count)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system has no child subreaper: the benchmarks need Linux")


@contextmanager
def _pinned(cores: int) -> Iterator[None]:
    """Restricts processes started meanwhile to a number of cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _wait_for(wanted: int, reaped: dict[int, float]) -> int:
    """Waits for a child, records CPU-seconds of it and of orphans that end earlier, and returns its exit code."""
    while True:
        pid, status, usage = os.wait4(-1, 0)
        reaped[pid] = usage.ru_utime + usage.ru_stime
        if pid == wanted:
            return os.waitstatus_to_exitcode(status)


def _wait_for_orphans(reaped: dict[int, float]) -> int:
    """Records the CPU-seconds of all orphans and returns the number of those that had to be stopped."""
    has_ended = _wait_until(time.monotonic() + EXIT_SECONDS, reaped)
    stopped: set[int] = set()
    signal_number = signal.SIGTERM
    while not has_ended:
        for pid in list_descendants(os.getpid()):
            stopped.add(pid)
            with suppress(ProcessLookupError):  # reaped by its own parent meanwhile
                os.kill(pid, signal_number)
        has_ended = _wait_until(time.monotonic() + SIGNAL_SECONDS, reaped)
        signal_number = signal.SIGKILL
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
