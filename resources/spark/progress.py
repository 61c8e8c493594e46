"""Progress: how far the work of a run is, as log lines and a tag of the run, with a link to Spark's own pages.

Of long Spark jobs a thread asks Spark once a second; what is told is of tasks that have ended. A Connect server tells
nothing. Work of many short jobs tells by itself, by `log_progress`.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.stats import StepEventStatus
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.status import StatusTracker

TAG: Final = "progress"
POLL_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 5.0
"""Between two lines, and before the first one of a job: what is over soon is not told of."""

LAST_WORD_SECONDS: Final = 10.0
"""For the thread to end in; a JVM that neither answers nor dies must not hold the run."""

PERCENT: Final = 10
"""Between two lines."""

_watched: set[str] = set()
"""Runs of this process that have their thread; a run has many resources that hold Spark."""


class JobProgress:
    """How far one job is, and what was last told of it."""

    def __init__(self, started: float, parts: str = "tasks") -> None:
        """Of a job that was first seen at this time, by `time.monotonic`, in parts of this name."""
        self._parts = parts
        self._started = self._told_at = started
        self._told = 0

    def tell(self, done: int, total: int, now: float) -> str | None:
        """What to say of it, or None where it is too soon.

        Args:
            done: parts that have ended.
            total: parts in all.
            now: by `time.monotonic`.
        """
        percent = PERCENT * (PERCENT * done // max(1, total))
        if percent <= self._told or done == total or now - self._told_at < QUIET_SECONDS:
            return None
        self._told, self._told_at = percent, now
        left = (now - self._started) * (total - done) / done
        return f"{percent} % ({done} of {total} {self._parts}), about {format_seconds(left)} left"


class ProgressWatch(threading.Thread):
    """Watches all Spark jobs of a run until it is closed."""

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun, log: dg.DagsterLogManager) -> None:
        """Of this run."""
        super().__init__(name="progress", daemon=True)
        self._instance = instance
        self._run = run
        self._log = log
        self._over = threading.Event()

    def run(self) -> None:
        """Waits for Spark to start, and tells of every job that takes its time."""
        tracker: StatusTracker | None = None
        jobs: dict[int, JobProgress] = {}
        while not self._over.wait(POLL_SECONDS):
            session = SparkSession._instantiatedSession  # getOrCreate would start one
            if session is None:
                continue
            try:
                if tracker is None:
                    tracker = session.sparkContext.statusTracker()
                    self._link(session.sparkContext.uiWebUrl)
                jobs = self._look(tracker, jobs)
            except (Py4JError, OSError):
                return  # Spark's JVM has ended; why is the run's to say

    def _look(self, tracker: StatusTracker, jobs: dict[int, JobProgress]) -> dict[int, JobProgress]:
        now = time.monotonic()
        jobs = {job: jobs.get(job) or JobProgress(now) for job in tracker.getActiveJobsIds()}
        for job, progress in jobs.items():
            if told := progress.tell(*_count_tasks(tracker, job), now):
                self._tell(told)
        return jobs

    def close(self) -> None:
        """Ends the thread; the tag must not say for ever that something goes on."""
        self._over.set()
        self.join(LAST_WORD_SECONDS)
        _watched.discard(self._run.run_id)
        run = self._instance.get_run_by_id(self._run.run_id)
        if run and TAG in run.tags:
            self._instance.add_run_tags(self._run.run_id, {TAG: "ended"})

    def _tell(self, told: str) -> None:
        steps = self._instance.get_run_step_stats(self._run.run_id)
        step = " ".join(each.step_key for each in steps if each.status == StepEventStatus.IN_PROGRESS) or "spark"
        self._log.info(f"{step}: {told}")
        _tag(self._instance, self._run.run_id, step, told)

    def _link(self, address: str | None) -> None:
        if address:
            data = EngineEventData(metadata={"spark_ui": dg.MetadataValue.url(address)})
            self._instance.report_engine_event("Spark's own pages, while the run lasts", self._run, data)


def watch_progress(context: dg.InitResourceContext) -> ProgressWatch | None:
    """Starts the thread of a run; None where it has one already, or there is no run."""
    run = context.run
    if run is None or context.instance is None or context.log is None or run.run_id in _watched:
        return None
    _watched.add(run.run_id)
    watch = ProgressWatch(context.instance, run, context.log)
    watch.start()
    return watch


def log_progress(context: dg.AssetExecutionContext, parts: str) -> Callable[[int, int], None]:
    """What a step calls with the parts that have ended, of this name, and the parts in all, each time one ends."""
    progress = JobProgress(time.monotonic(), parts)

    def tell(done: int, total: int) -> None:
        if told := progress.tell(done, total, time.monotonic()):
            context.log.info(told)
            _tag(context.instance, context.run.run_id, context.asset_key.to_user_string(), told)

    return tell


def format_seconds(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _tag(instance: dg.DagsterInstance, run_id: str, step: str, told: str) -> None:
    instance.add_run_tags(run_id, {TAG: f"{step} {told.partition(' (')[0]}"})


def _count_tasks(tracker: StatusTracker, job: int) -> tuple[int, int]:
    """Tasks that have ended, and all of them, of the stages of a job."""
    found = tracker.getJobInfo(job)
    stages = [tracker.getStageInfo(stage) for stage in found.stageIds] if found else []
    known = [stage for stage in stages if stage is not None]
    return sum(stage.numCompletedTasks for stage in known), sum(stage.numTasks for stage in known)
