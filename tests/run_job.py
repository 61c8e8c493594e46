"""Runs a job in this process, which can kill or stop itself at the call of a function."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable

from assets.commands.job import run_job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("days", nargs="*")
    parser.add_argument("--kill", help="module:function at whose call this process sends itself the signal")
    parser.add_argument("--signal", default="SIGKILL")
    parser.add_argument("--call", type=int, default=1, help="number of the call")
    parser.add_argument("--after", action="store_true", help="send the signal after the call, not before")
    options = parser.parse_args()
    if options.kill:
        kill_at(*options.kill.split(":"), options.call, options.after, signal.Signals[options.signal])
    failures = run_job(options.job, *options.days)
    print(failures or "")
    sys.exit(0 if failures is None else 1)


def kill_at(module_name: str, name: str, call: int, after: bool, signal_: signal.Signals) -> None:
    module = importlib.import_module(module_name)
    function: Callable = getattr(module, name)
    calls = 0

    def wrapped(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), signal_)
        result = function(*arguments, **named)
        if calls == call and after:
            os.kill(os.getpid(), signal_)
        return result

    setattr(module, name, wrapped)


if __name__ == "__main__":
    main()
