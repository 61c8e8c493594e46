"""The variables through which a shell passes options to every JVM: which of ours they leave room for."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from resources.spark.work_folder import SparkStartError

VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_ARCHIVES: Final = re.compile(r"SharedArchiveFile|ArchiveClassesAtExit|-Xshare|-XX:AOT")
_DUMPING: Final = ("-XX:ArchiveClassesAtExit", "-XX:AOTConfiguration")
_RECORDING: Final = re.compile(r"-XX:AOTConfiguration=")
"""A JVM that records prints nothing when it cannot start."""
_NOISE: Final = ("Picked up ", "NOTE: Picked up ", "Error occurred during init", "Error: Could not create the")


def without_variables() -> dict[str, str]:
    """The environment for a JVM that must run whatever these variables say."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def leave_room(java: Path, heap: str, quick: Sequence[str]) -> list[str]:
    """Returns our options for a quick start, or none if a variable names another collector or another archive.

    Args:
        java: program to try.
        heap: maximum size of the heap, as Java writes it.
        quick: our options.

    Raises:
        SparkStartError: if Java does not start with the variables, ours or not, or with the heap.
    """
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        if _RECORDING.search(" ".join(quick)) and (reason := _explain_failure(java, heap, ())):
            raise SparkStartError(f"Java does not start with a heap of {heap} (spark.driver.memory): {reason}")
        return list(quick)
    trial = [option for option in quick if not option.startswith(_DUMPING)]
    if not _ARCHIVES.search(" ".join(given.values())) and _explain_failure(java, heap, trial) is None:
        return list(quick)
    if reason := _explain_failure(java, heap, ()):
        variables = " and ".join(f"{name}={value}" for name, value in given.items())
        raise SparkStartError(f"Java does not start with {variables:.300}: {reason}; correct or unset the variable")
    return []


def _explain_failure(java: Path, heap: str, options: Sequence[str]) -> str | None:
    """Runs Java and returns what kept it from starting, or None."""
    command = [str(java), *options, f"-Xmx{heap}", "-version"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line and not line.startswith(_NOISE)]
    return lines[0].removesuffix(".") if lines else f"exit status {done.returncode}"
