"""The command of `make dev`: Dagster's UI and daemon, until they are told to end; then a word on runs that go on."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import dagster as dg

HOST = "127.0.0.1"


def main() -> None:
    """Runs `dg dev` until SIGINT or SIGTERM, and exits as it does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="3000")
    # A shell that starts `make dev &` lets it ignore Ctrl-C, and Dagster would then ignore every signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--no-check-yaml", "--host", HOST]
    dagster = subprocess.Popen([*command, "--port", parser.parse_args().port])  # noqa: S603 words of this file

    def end(number: int, frame: FrameType | None) -> None:
        dagster.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # a terminal sends it to Dagster too
    status = dagster.wait()
    print(tell_runs(), end="")
    sys.exit(status)


def tell_runs() -> str:
    """The runs that go on by themselves, or nothing."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(under_way)
    told = "".join(f"  {run.run_id}  {run.job_name}\n" for run in runs)
    return f"Runs that go on by themselves, and will be there when you start again:\n{told}" if runs else ""


if __name__ == "__main__":
    main()
