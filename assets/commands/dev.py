"""The command `make dev`: runs Dagster's UI and daemon, and lists the runs that outlive them."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import dagster as dg

HOST = "127.0.0.1"


def main() -> None:
    """Runs `dg dev` until SIGINT or SIGTERM, and exits with its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="3000")
    # After `make dev &` the shell has SIGINT ignored, and then Dagster would ignore every signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--no-check-yaml", "--host", HOST]
    dagster = subprocess.Popen([*command, "--port", parser.parse_args().port])  # noqa: S603 arguments of this file

    def end(number: int, frame: FrameType | None) -> None:
        dagster.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # a terminal sends it to Dagster too
    status = dagster.wait()
    print(describe_runs(), end="")
    sys.exit(status)


def describe_runs() -> str:
    """Lists the runs that are still going; empty if there are none."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(under_way)
    lines = "".join(f"  {run.run_id}  {run.job_name}\n" for run in runs)
    return f"These runs continue in the background, and the next `make dev` shows them:\n{lines}" if runs else ""


if __name__ == "__main__":
    main()
