"""The sampler: memory and CPU of a candidate's processes while it runs.

If a parent ignores the end of its children, as Spark's Python daemon and Ray's raylet do, the kernel reports the usage
of these children to no process. For them the last sample counts, which misses a quarter of a second at most.
"""

import os
import signal
from collections.abc import Collection
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final, Self

PERIOD_SECONDS: Final = 0.25
PROPORTIONAL_SECONDS: Final = 0.5  # the kernel walks all pages of a process to count the shared ones once
PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
SPARK_DAEMON: Final = "daemon\0pyspark.worker"
"""Part of the command line of Spark's Python daemon and of the workers that it forks."""


class _Watch:
    """A thread that runs until the end of a block, as a context manager."""

    def __init__(self) -> None:
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Starts sampling."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops sampling."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        """Samples until `_stop` is set."""
        raise NotImplementedError


class Sampler(_Watch):
    """Samples all descendants of this process.

    Attributes:
        peak_mebibytes: largest peak resident memory (`VmHWM`) of one process, by kind.
        is_late: whether the candidate was killed at its time limit.
    """

    def __init__(self, candidate: int, limit_seconds: float) -> None:
        """Kills the process `candidate` after the limit."""
        self.peak_mebibytes: dict[str, float] = {}
        self.is_late = False
        self._candidate = candidate
        self._deadline = monotonic() + limit_seconds
        self._cpu_seconds: dict[tuple[int, str], float] = {}
        self._unreported: set[tuple[int, str]] = set()
        super().__init__()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all processes, as last sampled."""
        return sum(self._cpu_seconds.values())

    def unreported_seconds(self, reaped: Collection[int]) -> float:
        """User and system time of the processes that no parent waited for, except those in `reaped`."""
        return sum(self._cpu_seconds[key] for key in self._unreported if key[0] not in reaped)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            found = list_descendants(os.getpid())
            for pid, stat in found.items():  # parents before children
                self._sample(pid, stat, found.get(int(stat[1])))
            if monotonic() > self._deadline and not self.is_late:
                self.is_late = True
                os.kill(self._candidate, signal.SIGKILL)

    def _sample(self, pid: int, stat: list[str], parent_stat: list[str] | None) -> None:
        key, parent = (pid, stat[19]), int(stat[1])  # stat[19] is the start time, because pids are reused
        self._cpu_seconds[key] = (int(stat[11]) + int(stat[12])) / TICKS
        try:
            if parent_stat and ((parent, parent_stat[19]) in self._unreported or _ignores_children(parent)):
                self._unreported.add(key)
            status = (PROC / str(pid) / "status").read_text()
            command = _command(pid)
            if SPARK_DAEMON in command:
                kind = "worker" if SPARK_DAEMON in _command(int(stat[1])) else "daemon"
            else:
                kind = "java" if "java" in Path(command.split("\0")[0]).name else "other"
        except (FileNotFoundError, ProcessLookupError):
            return  # ended meanwhile
        peak = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)
        self.peak_mebibytes[kind] = max(self.peak_mebibytes.get(kind, 0.0), peak)


class MemoryOfAll(_Watch):
    """Samples the memory of all descendants, shared pages counted once."""

    def __init__(self) -> None:
        """Samples nothing yet."""
        self.peak_mebibytes = 0.0
        super().__init__()

    def _run(self) -> None:
        while not self._stop.wait(PROPORTIONAL_SECONDS):
            self.peak_mebibytes = max(self.peak_mebibytes, sum(map(_proportional, list_descendants(os.getpid()))))


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def list_descendants(ancestor: int) -> dict[int, list[str]]:
    """Fields of `/proc/<pid>/stat` after the name, for all descendants of a process, by pid."""
    stats: dict[int, list[str]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            stats[int(folder.name)] = (folder / "stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: dict[int, list[str]] = {}
    generation = {ancestor}
    while generation:
        children = {pid: stat for pid, stat in stats.items() if int(stat[1]) in generation}
        found |= children
        generation = set(children)
    return found


def _ignores_children(pid: int) -> bool:
    status = (PROC / str(pid) / "status").read_text()
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored, 16) >> (signal.SIGCHLD - 1) & 1)


def _command(pid: int) -> str:
    return (PROC / str(pid) / "cmdline").read_text(errors="replace")
