"""The CPU timer of a task."""

import time
from collections import defaultdict


class CpuTimer:
    """Sums the CPU-seconds of its thread by stage; each lap counts the time since the previous one."""

    def __init__(self) -> None:
        """Starts the first lap."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        """Ends a lap and attributes it to this stage."""
        now = time.thread_time()
        self.seconds[stage] += now - self._last
        self._last = now
