"""The cpu_timer of a task: which stage its CPU-seconds went to."""

import time
from collections import defaultdict


class CpuTimer:
    """Gives the CPU time of its thread since the last lap to a stage, so that all laps together are all of it.

    Attributes:
        seconds: of CPU, by stage.
    """

    def __init__(self) -> None:
        """Starts the first lap."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        """Ends a lap, which was of this stage."""
        now = time.thread_time()
        self.seconds[stage] += now - self._last
        self._last = now
