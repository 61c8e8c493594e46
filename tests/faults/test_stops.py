"""Stopped processes: a minute in which some or all of them stand still costs that minute, and no row."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deployment import DAY, Deployment, Run, descendants, is_jvm_of_spark, parent_of

STOP_SECONDS = 60  # twice the time that an image may take
IMAGE_SECONDS = 0.25


def find_child(run: Run) -> int:
    """Waits for a process that embeds."""
    return run.find(lambda command, depth: "slow_decoders" in command and depth >= 4)


STOPPED: dict[str, Callable[[Run, int], list[int]]] = {
    "a worker": lambda _, child: [parent_of(child)],
    "the JVM": lambda run, _: [run.find(is_jvm_of_spark)],
    "the driver": lambda run, _: [run.process.pid],
    "all": lambda run, _: [run.process.pid, *descendants(run.process.pid)],
}


@pytest.mark.parametrize("stopped", STOPPED)
def test_a_minute_in_which_processes_stand_still_costs_no_row(
    stopped: str, deployment: Deployment, expected: dict
) -> None:
    deployment.set_spark(spark_python_daemon_module="slow_decoders")
    run = deployment.start("daily", DAY, IMAGE_SECONDS=str(IMAGE_SECONDS))
    child = find_child(run)
    time.sleep(1)
    pids = STOPPED[stopped](run, child)
    assert Path(f"/proc/{child}").exists(), "it is in the middle of embedding"
    for signal_, seconds in ((signal.SIGSTOP, STOP_SECONDS), (signal.SIGCONT, 0)):
        for pid in pids:
            os.kill(pid, signal_)
        time.sleep(seconds)
    run.wait()
    assert run.is_good, run.text
    assert deployment.all_rows(DAY) == expected[DAY]
