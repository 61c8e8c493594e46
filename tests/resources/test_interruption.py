"""Interruption: signals reach the jobs of this process, whatever Python's handlers do, and not those of a parent."""

import os
import subprocess
import sys

import pytest

JOB = """
import os
import signal
import sys
import threading
import time

from resources.spark.interruption import cancel_on_signals

cancelled = threading.Event()
cancel_on_signals(lambda: None)
cancel_on_signals(cancelled.set)
signal.signal(signal.SIGTERM, lambda *_: None)
if sys.argv[1] == "child":
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
        os._exit(0)
    os.waitpid(child, 0)
else:
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
print(cancelled.wait(2))
"""


@pytest.mark.parametrize(("sent", "expected"), [("SIGTERM", "True"), ("SIGCHLD", "False"), ("child", "False")])
def test_only_a_signal_that_ends_this_process_cancels_its_jobs(sent: str, expected: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", JOB, sent], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == expected
