"""CPU timer: attributes the CPU time of a task to its stages."""

import time
from collections import defaultdict


class CpuTimer:
    """Attributes the CPU time of its thread since the last lap to a stage; the laps add up to the total.

    Attributes:
        seconds: CPU-seconds by stage.
    """

    def __init__(self) -> None:
        """Starts the first lap."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = time.thread_time()

    def lap(self, stage: str) -> None:
        """Ends a lap and attributes it to this stage."""
        now = time.thread_time()
        self.seconds[stage] += now - self._last
        self._last = now
