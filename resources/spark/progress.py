"""Progress of long work in the log of a run, with a link to Spark's own pages.

A thread polls Spark's status and logs the tasks that have ended; a Connect server has no such status. Work of many
short jobs reports its progress through `log_progress`.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import dagster as dg
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.status import StatusTracker

POLL_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 5.0  # between two lines, and before the first line of a job: short jobs log nothing
JOIN_SECONDS: Final = 10.0  # to wait for the thread at the end of a run; a JVM that hangs must not block the run
PERCENT: Final = 10  # step between two lines

_watched: set[str] = set()  # runs of this process that have a thread; a run has many resources with Spark


class JobProgress:
    """Decides when the progress of one job is worth a line."""

    def __init__(self, started: float, parts: str = "tasks") -> None:
        """Starts at this time of `time.monotonic`; `parts` names what is counted."""
        self._parts = parts
        self._started = self._logged_at = started
        self._percent = 0

    def describe(self, done: int, total: int, now: float) -> str | None:
        """Describes the progress at a time of `time.monotonic`; None if it is too soon for another line."""
        percent = PERCENT * (PERCENT * done // max(1, total))
        if percent <= self._percent or done == total or now - self._logged_at < QUIET_SECONDS:
            return None
        self._percent, self._logged_at = percent, now
        left = (now - self._started) * (total - done) / done
        return f"{percent} % ({done} of {total} {self._parts}), about {format_seconds(left)} left"


class ProgressWatch:
    """Logs the progress of all Spark jobs of a run, from its first session until it is closed."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, log: dg.DagsterLogManager) -> None:
        """Prepares the watch of one run; `start` starts its thread."""
        self._instance, self._run_id, self._log = instance, run_id, log
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, context: SparkContext) -> None:
        """Starts the thread, unless the run has one already."""
        if self._run_id in _watched:
            return
        _watched.add(self._run_id)
        if context.uiWebUrl:
            self._log.info(f"Spark's own pages, while the run lasts: {context.uiWebUrl}")
        self._thread = threading.Thread(target=self._poll, args=[context.statusTracker()], name="progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        if self._thread:
            self._thread.join(JOIN_SECONDS)
            _watched.discard(self._run_id)

    def _poll(self, tracker: StatusTracker) -> None:
        jobs: dict[int, JobProgress] = {}
        while not self._closing.wait(POLL_SECONDS):
            now = time.monotonic()
            try:
                jobs = {job: jobs.get(job) or JobProgress(now) for job in tracker.getActiveJobsIds()}
                lines = [progress.describe(*_count_tasks(tracker, job), now) for job, progress in jobs.items()]
            except (Py4JError, OSError):  # Spark's JVM has ended; the run itself fails with the reason
                return
            for line in filter(None, lines):
                self._log.info(f"{self._find_steps()}: {line}")

    def _find_steps(self) -> str:
        steps = self._instance.get_run_step_stats(self._run_id)
        return " ".join(step.step_key for step in steps if step.start_time and not step.end_time) or "spark"


def prepare_watch(context: dg.InitResourceContext) -> ProgressWatch | None:
    """Prepares the watch of the run that a resource is made for; None outside a run."""
    if context.run is None or context.instance is None or context.log is None:
        return None
    return ProgressWatch(context.instance, context.run.run_id, context.log)


def log_progress(context: dg.AssetExecutionContext, parts: str) -> Callable[[int, int], None]:
    """Makes the callback that a step calls when a part ends, with the number of ended parts and of all parts."""
    progress = JobProgress(time.monotonic(), parts)

    def report(done: int, total: int) -> None:
        if line := progress.describe(done, total, time.monotonic()):
            context.log.info(line)

    return report


def format_seconds(seconds: float) -> str:
    """Formats a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _count_tasks(tracker: StatusTracker, job: int) -> tuple[int, int]:
    """Counts the ended tasks, and all tasks, of a job."""
    found = tracker.getJobInfo(job)
    stages = [tracker.getStageInfo(stage) for stage in found.stageIds] if found else []
    known = [stage for stage in stages if stage is not None]
    return sum(stage.numCompletedTasks for stage in known), sum(stage.numTasks for stage in known)
